"""What does the theory say of a network, before any training?"""

from trainlab.app.shell import heading

heading("Will it learn?", "What does the theory say of a network, before any training?")
