"""The law of memory in networks, on figures whose law is known."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

from odebench.report.tables.networks import law_of, memory_of_networks, network_laws

TRUE_LAWS = {
    "direct": ("L·N", lambda blocks, steps, slots: 5000 + 300 * blocks * steps),
    "anode": ("L + N", lambda blocks, steps, slots: 5000 + 100 * blocks + 300 * steps),
    "adjoint": ("L", lambda blocks, steps, slots: 5000 + 200 * blocks + steps),
    "checkpointing": ("L + c", lambda blocks, steps, slots: 5000 + 100 * blocks + 70 * slots),
}


def networks(gradient: str) -> pd.DataFrame:
    """A row a network; slots where the method has them."""
    law = TRUE_LAWS[gradient][1]
    slots = (1, 2, 4, 8) if gradient == "checkpointing" else (None,)
    rows = [
        {
            "model_label": "conv", "solver_label": "euler", "gradient": gradient, "outcome": "ok", "steps": n, "task.blocks": blocks,
            "gradient.slots": c, "memory_peak_bytes": law(blocks, n, c),
        }
        for blocks, n, c in itertools.product((1, 2, 4, 8), (4, 8, 16), slots)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"gradient.slots": "Int64"})


@pytest.mark.parametrize("gradient", TRUE_LAWS)
def test_the_law_is_found_with_its_coefficients(gradient):
    law = law_of(network_laws(networks(gradient)))
    assert law.law == TRUE_LAWS[gradient][0] and law.explained > 0.999
    expected = {"direct": [300], "anode": [100, 300], "adjoint": [200], "checkpointing": [100, 70]}[gradient]
    assert list(law.bytes_per.values()) == pytest.approx(expected, rel=1e-9)
    assert law.base_bytes == pytest.approx(5000, rel=0.01)


def test_the_table_says_what_the_other_laws_explain():
    frame = pd.concat(map(networks, TRUE_LAWS), ignore_index=True)
    table = memory_of_networks(frame)
    found = {row[2].text: (row[3].text, row[5].text, row[7].text) for row in table.rows}
    assert found["direct"] == ("L·N", "100.00%", "12")
    assert found["checkpointing, slots"] == ("L + c", "100.00%", "48")
    assert found["anode"][0] == "L + N" and found["adjoint"][0] == "L"
    (direct,) = (row for row in table.rows if row[2].text == "direct")
    assert direct[4].text == "4.88 KiB + 300 bytes · L·N"
    assert direct[6].text.startswith("L: ") and "L + N: " in direct[6].text


def test_what_explains_too_little_is_marked():
    frame = networks("direct")
    frame["memory_peak_bytes"] = [1000 * (n % 3) for n in range(len(frame))]
    (row,) = memory_of_networks(frame).rows
    assert row[3].tone == "bad"


def test_too_few_networks_have_no_law():
    frame = networks("direct")
    assert law_of(network_laws(frame.head(2))) is None
    assert not memory_of_networks(frame.head(2)).rows
    assert not memory_of_networks(frame.drop(columns="task.blocks")).rows
