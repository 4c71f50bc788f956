"""`narrate admin` and `narrate top`: an operator's commands."""
