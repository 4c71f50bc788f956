"""`narrate voices`: lists, uploads and deletes voices."""

from __future__ import annotations

import argparse

from client import terminal
from client.narrator import Narrator


def list_voices(args: argparse.Namespace) -> int:
    """Print each voice with its language, duration, description and model."""
    with Narrator(args.url) as narrator:
        for voice in narrator.voices():
            name = voice.id if voice.kind == "preset" else f"{voice.name} ({voice.id})"
            length = f"{voice.duration_s:.1f} s" if voice.duration_s is not None else None
            known = filter(None, (voice.language, length, voice.description, voice.model))
            terminal.say(f"{name}: {', '.join(known)}")
    return 0


def add_voice(args: argparse.Namespace) -> int:
    """Upload a recording; prints its defects and the voice's id."""
    with Narrator(args.url) as narrator:
        voice = narrator.add_voice(
            args.file,
            args.name,
            consent=args.consent,
            text=args.text,
            language=args.language,
            description=args.description,
        )
    for warning in voice.warnings:
        terminal.note(f"{args.file}: {warning}")
    terminal.say(f"{voice.id}: speak with --voice {voice.name!r}")
    return 0


def delete_voice(args: argparse.Namespace) -> int:
    """Delete an uploaded voice."""
    with Narrator(args.url) as narrator:
        narrator.delete_voice(args.voice)
    terminal.say(f"Voice {args.voice} is deleted")
    return 0
