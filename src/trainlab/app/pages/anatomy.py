"""What is a network made of?"""

from trainlab.app.shell import heading

heading("Anatomy", "What is a network made of?")
