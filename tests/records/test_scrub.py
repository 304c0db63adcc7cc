"""What a record must not hold."""

from pathlib import Path

import pytest

from odebench.records.scrub import Scrubber, shorten

ENVIRONMENT = {
    "WANDB_API_KEY": "0123456789abcdef",
    "GITHUB_TOKEN": "ghp_abcdefgh",
    "GITHUB_TOKEN_LONG": "ghp_abcdefgh_and_more",
    "DB_PASSWORD": "hunter22",
    "SHORT_KEY": "1",
    "SSH_KEY": "/home/alice/.ssh/id",
    "LANG": "C.UTF-8-not-a-secret",
}


@pytest.fixture
def scrub():
    return Scrubber(ENVIRONMENT, home=Path("/home/alice"), user="alice")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('File "/home/alice/code/solver.py", line 3', 'File "~/code/solver.py", line 3'),
        ("/home/alice", "~"),
        ("/home/bob/x and /Users/carol/y", "~/x and ~/y"),
        (r"C:\Users\dave\x.py", r"~\x.py"),
        ("/tmp/pytest-of-alice/a", "/tmp/pytest-of-<user>/a"),
        ("login alice failed, malice did not", "login <user> failed, malice did not"),
        ("key is 0123456789abcdef.", "key is <WANDB_API_KEY>."),
        ("ghp_abcdefgh_and_more, ghp_abcdefgh", "<GITHUB_TOKEN_LONG>, <GITHUB_TOKEN>"),
        ("hunter22", "<DB_PASSWORD>"),
        ("step 1 of 1, C.UTF-8-not-a-secret", "step 1 of 1, C.UTF-8-not-a-secret"),
        ("https://me:pass@host/x", "https://<secret>@host/x"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer <secret>"),
        ("api_key='abc' token=abcdefgh1234", "api_key=<secret> token=<secret>"),
        ('{"password": "x y"}', '{"password": <secret>}'),
        ("tokens=32, token = next(tokens), tokenizer='fast'", "tokens=32, token = next(tokens), tokenizer='fast'"),
        ("mean of root squares", "mean of root squares"),
    ],
)
def test_what_must_go_goes_and_the_rest_stays(scrub, text, clean):
    assert scrub(text) == clean


def test_a_user_named_like_an_ordinary_word_is_taken_out_of_paths_only():
    scrub = Scrubber({}, home=Path("/root"), user="root")
    assert scrub("/root/x, /rooted/x, the root mean square, /tmp/pytest-of-root/y") == (
        "~/x, /rooted/x, the root mean square, /tmp/pytest-of-<user>/y"
    )


def test_a_text_that_is_not_unicode_can_be_stored_afterwards(scrub):
    scrub("name \udcff").encode("utf-8")


def test_long_texts_lose_their_middle(scrub):
    text = "a" * 50_000 + "end"
    assert len(scrub(text)) < 21_000
    assert scrub(text).endswith("end")
    assert "30003 characters left out" in scrub(text)
    assert shorten("abc", 3) == "abc"


def test_this_process_can_be_scrubbed(monkeypatch):
    monkeypatch.setenv("MY_SECRET", "abracadabra")
    assert Scrubber()(f"abracadabra in {Path.home()}/x") == "<MY_SECRET> in ~/x"
