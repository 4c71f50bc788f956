"""The making of the demo voice: a small checkpoint in the released format, taught by flite.

Nothing in the product imports this package. `make voice` runs its steps, each a command that goes
on from its own files: `corpus` (speech), `codes`, `vocoder`, `talker`, `export`.
"""
