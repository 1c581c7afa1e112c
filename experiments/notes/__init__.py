"""What the lecture's notes get wrong, each with the command that shows it: ../notes-corrected.md."""
