"""What was found, for a reader, a test suite, a program, or a notebook."""

import html
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from trainlab.diagnosis.known_causes import Finding, find_cause
from trainlab.diagnosis.presentation import describe_finding
from trainlab.errors import RequestError, sanitize
from trainlab.runs import json_nonfinite


class FaultsFoundError(RequestError):
    """What `raise_if_any` raises: every finding in one line. `report` is where it comes from."""

    def __init__(self, report: "CheckReport") -> None:
        self.report = report
        super().__init__("; ".join(f"{f.cause}: {f.description}" for f in report.findings))


@dataclass(frozen=True)
class CheckReport:
    """Findings, the likeliest cause first. It is true where there are any: `assert not check(…)`.

    notes: what was seen and is no fault, and what could not be looked at. subject: what was looked at.
    """

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    subject: str = "one step"

    def __bool__(self) -> bool:
        return bool(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    @property
    def causes(self) -> tuple[str, ...]:
        """The names of what was found, in order."""
        return tuple(finding.cause for finding in self.findings)

    def raise_if_any(self) -> "CheckReport":
        """The report itself where nothing was found, else FaultsFoundError with all findings in one line."""
        if self.findings:
            raise FaultsFoundError(self)
        return self

    def __str__(self) -> str:
        lines = [self._headline()]
        for number, finding in enumerate(self.findings, 1):
            code = finding.remedy_code.splitlines()
            lines.append(f"{number}. {describe_finding(finding)}")
            lines.append(f"   {finding.description}")
            lines += [f"   {'remedy:' if k == 0 else '       '} {line}" for k, line in enumerate(code)]
        return sanitize("\n".join([*lines, *(f"note: {note}" for note in self.notes)]))

    __repr__ = __str__

    def _headline(self) -> str:
        count = len(self.findings)
        what = "nothing wrong found" if not count else f"{count} finding{'s' if count > 1 else ''}"
        return f"{self.subject}: {what}"

    def json(self) -> str:
        """Findings with sentence and remedy, and notes, as a JSON object."""
        rows = [
            {**asdict(f), "sentence": find_cause(f.cause).sentence, "code": f.remedy_code}
            for f in self.findings
        ]
        return json_nonfinite.dumps({"subject": self.subject, "findings": rows, "notes": list(self.notes)})

    def html(self) -> str:
        """A table of the findings, and the notes below it."""
        rows = "".join(_html_row(finding) for finding in self.findings)
        head = "<tr><th>cause</th><th>what was seen</th><th>remedy</th></tr>"
        table = f"<table>{head}{rows}</table>" if rows else ""
        notes = "".join(f"<li>{_escaped(note)}</li>" for note in self.notes)
        return f"<p><b>{_escaped(self._headline())}</b></p>{table}" + (f"<ul>{notes}</ul>" if notes else "")

    def _repr_html_(self) -> str:
        return self.html()


def _html_row(finding: Finding) -> str:
    left = 'style="text-align:left;vertical-align:top"'
    code = f"<pre>{_escaped(finding.remedy_code)}</pre>"
    cells = (_escaped(describe_finding(finding)), _escaped(finding.description), code)
    return f"<tr>{''.join(f'<td {left}>{cell}</td>' for cell in cells)}</tr>"


def _escaped(text: str) -> str:
    return html.escape(sanitize(text))
