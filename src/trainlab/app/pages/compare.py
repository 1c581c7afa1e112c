"""Which settings learn, and how fast?"""

from trainlab.app.shell import heading

heading("Compare", "Which settings learn, and how fast?")
