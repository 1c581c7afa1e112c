"""Which lessons hold, and how sure is that?"""

from trainlab.app.shell import heading

heading("Claims", "Which lessons hold, and how sure is that?")
