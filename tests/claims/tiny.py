"""A claim that takes seconds, as plain values that tests change."""

import copy
from pathlib import Path
from typing import Any

import yaml

QUICK = [
    "data=digits", "data.image_size=16", "data.train_size=64", "data.val_size=64", "data.test_size=100",
    "data.batch_size=32", "model=plain_cnn", "depth=1", "width=4", "trainer=cpu", "trainer.max_steps=3",
]  # fmt: skip
ACCURACY = {"metric": "test/acc"}
MINIMAL: dict[str, Any] = {
    "statement": "A beats B.",
    "question": "Does A beat B?",
    "source": "a test",
    "order": 1,
    "common": [],
    "arms": {"A": ["optimizer.lr=1e-3"], "B": ["optimizer.lr=1.0001e-3"]},
    "profiles": {
        "quick": {"overrides": QUICK, "scale": "tiny", "seeds": {"first": 5, "most": 5}},
        "gpu": {"overrides": QUICK, "scale": "tiny", "seeds": {"first": 5, "most": 5}},
    },
    "expectations": [
        {
            "kind": "more",
            "says": "A is better",
            "more": "A",
            "than": "B",
            "of": ACCURACY,
            "by": 0.0,
            "expects": {"mean": 0.1, "sd": 0.01},
        }
    ],
    "lesson": dict.fromkeys(("explanation", "prediction", "answer", "why", "would_change"), "A sentence."),
    "differs": "It does not.",
    "try": "something else",
    "figure": {"kind": "arms", "title": "A and B", "of": ACCURACY},
}


def claim(**changes: Any) -> dict[str, Any]:
    """The minimal claim with top-level keys changed; the first expectation that is tested is the primary."""
    content = {**copy.deepcopy(MINIMAL), **copy.deepcopy(changes)}
    tested = [e for e in content["expectations"] if e.get("kind") != "exact"]
    if tested and not any("primary" in expectation for expectation in tested):
        tested[0]["primary"] = True
    return content


def put(folder: Path, name: str, content: dict[str, Any]) -> Path:
    """Writes `NAME/claim.yaml` below a folder of claims."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / name / "claim.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path
