"""The commands of `narrate`, a module for each group."""
