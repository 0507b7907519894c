"""The kinds of work: which worker does it, how urgent it is, what people read.

tasks/runner.py names the handler of each.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.models import Priority


@dataclass(frozen=True)
class Kind:
    """``queue``: which worker does it. ``label``: what people read."""

    queue: str
    priority: Priority
    label: str


QUEUES = ("media", "quick", "delivery")

KINDS: dict[str, Kind] = {
    "probe": Kind("quick", Priority.HIGH, "Check the file"),
    "early_look": Kind("quick", Priority.HIGH, "Look at the first bytes"),
    "poster": Kind("quick", Priority.HIGH, "Take the poster"),
    "cover": Kind("quick", Priority.HIGH, "Make the cover of a post"),
    "remux": Kind("quick", Priority.NORMAL, "Repack for posting"),
    "preview": Kind("media", Priority.SOON, "Make the preview"),
    "encode": Kind("media", Priority.NORMAL, "Encode for posting"),
    "in_flight": Kind("media", Priority.LOW, "Encode while it uploads"),
    "storyboard": Kind("media", Priority.LOW, "Make the storyboard"),
    "waveform": Kind("media", Priority.LOW, "Measure the sound"),
    "audio": Kind("media", Priority.LOW, "Take the sound out"),
    "remake": Kind("quick", Priority.LOW, "Put in line what is made anew"),
    "publish": Kind("delivery", Priority.HIGH, "Post"),
    "edit": Kind("delivery", Priority.HIGH, "Change the text of a post"),
    "remove": Kind("delivery", Priority.HIGH, "Remove a post"),
    "comment": Kind("delivery", Priority.SOON, "Put the first comment under a post"),
    "numbers": Kind("delivery", Priority.LOW, "Ask for views and likes"),
    "connect": Kind("delivery", Priority.HIGH, "Connect an account"),
    "check_account": Kind("delivery", Priority.NORMAL, "Check an account's sign-in"),
    "disconnect": Kind("delivery", Priority.NORMAL, "Give a sign-in back"),
    "empty_bin": Kind("delivery", Priority.LOW, "Remove what was in the bin for long enough"),
    "retain": Kind("delivery", Priority.LOW, "Remove originals by the policy"),
    "tidy": Kind("delivery", Priority.LOW, "Compare all files with their rows"),
    "verify": Kind("delivery", Priority.LOW, "Read and verify all files"),
    "backup": Kind("delivery", Priority.NORMAL, "Back up, or look at a backup"),
    "alert": Kind("delivery", Priority.HIGH, "Send an alert"),
    "certificate": Kind("delivery", Priority.LOW, "Read the box's certificate"),
    "checkup": Kind("delivery", Priority.SOON, "Check the box"),
}
