"""What does a trained network make of your own picture?"""

from trainlab.app.shell import heading

heading("Draw and predict", "What does a trained network make of your own picture?")
