"""What happened in this network, layer by layer?"""

from trainlab.app.shell import heading

heading("Inside a run", "What happened in this network, layer by layer?")
