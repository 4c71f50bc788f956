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
    """Upload a recording, or keep a job's voice; prints its defects and the voice's id."""
    if (args.file is None) == (args.job is None):
        terminal.error("name a recording, or with --job a finished job")
        return 2
    if args.file is not None and args.consent is None:
        terminal.error("say with --consent how the speaker agreed")
        return 2
    with Narrator(args.url) as narrator:
        voice = narrator.add_voice(
            args.file,
            args.name,
            consent=args.consent,
            job=args.job,
            text=args.text,
            language=args.language,
            description=args.description,
        )
    for warning in voice.warnings:
        terminal.note(f"{args.file or args.job}: {warning}")
    terminal.say(f"{voice.id}: speak with --voice {voice.name!r}")
    return 0


def delete_voice(args: argparse.Namespace) -> int:
    """Delete an uploaded voice."""
    with Narrator(args.url) as narrator:
        narrator.delete_voice(args.voice)
    terminal.say(f"Voice {args.voice} is deleted")
    return 0
