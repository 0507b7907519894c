"""What is said about a post as a whole: the sentences of the owner's notes."""

from __future__ import annotations

import pytest

from appliance.states import PostState, TargetState
from web.posting_words import Part, brief, labels, tell

DONE = Part("youtube", "Channel", TargetState.PUBLISHED, "https://youtube.com/shorts/a")
WAITS = Part("facebook", "Page", TargetState.WAITING)
FAILED = Part("facebook", "Page", TargetState.FAILED, "", "The file is too large.")
UNKNOWN = Part("instagram", "Me", TargetState.NEEDS_PERSON, "", "The answer was lost.")


@pytest.mark.parametrize(
    ("state", "parts", "sentence"),
    [
        (PostState.PENDING, [WAITS], "Your video is queued for posting..."),
        (
            PostState.PROCESSING,
            [DONE, WAITS],
            "Posting to platforms... (YouTube done, Facebook waiting)",
        ),
        (PostState.COMPLETED, [DONE], "Posted successfully! View on:"),
        (
            PostState.COMPLETED,
            [Part("folder", "Folder", TargetState.PUBLISHED)],
            "Posted successfully!",
        ),
        (PostState.PARTIAL, [DONE, FAILED], "Posted to YouTube, not to Facebook."),
        (
            PostState.PARTIAL,
            [DONE, FAILED, UNKNOWN],
            "Posted to YouTube, not to Facebook and Instagram.",
        ),
        (PostState.FAILED, [FAILED], "Failed to post: The file is too large."),
        (
            PostState.FAILED,
            [FAILED, UNKNOWN],
            "Failed to post: Facebook: The file is too large. Instagram: The answer was lost.",
        ),
        (PostState.FAILED, [WAITS], "Failed to post: no reason is known."),
        (PostState.CANCELLED, [WAITS], ""),
    ],
)
def test_sentence(state: PostState, parts: list[Part], sentence: str) -> None:
    assert tell(state, parts).sentence == sentence


def test_links_are_there_as_soon_as_they_are_known() -> None:
    link = ("YouTube", "https://youtube.com/shorts/a")
    assert tell(PostState.PROCESSING, [DONE, WAITS]).links == (link,)
    assert tell(PostState.PARTIAL, [DONE, FAILED]).links == (link,)
    assert tell(PostState.FAILED, [FAILED]).links == ()


def test_the_title_of_a_window_says_how_far_each_is() -> None:
    assert brief([DONE, WAITS]) == "Posting… (YouTube ✓, Facebook …)"
    assert brief([FAILED, UNKNOWN]) == "Posting… (Facebook ✗, Instagram ?)"


def test_two_accounts_of_one_platform_are_told_apart() -> None:
    other = Part("youtube", "Second", TargetState.FAILED)
    assert labels([DONE, other, WAITS]) == ["YouTube (Channel)", "YouTube (Second)", "Facebook"]
