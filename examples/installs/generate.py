#!/usr/bin/env python3
"""Generates video-ad impressions with a hidden install propensity, as CSV.

THE DATA IS SYNTHETIC. No user, campaign or game behind it is real; the shapes (heavy-tailed counts, rare installs, missing
values, correlated columns) imitate what ad networks see, and the formula below is made up. A model trained on it is good for
showing how Serin serves a model, and for nothing else.

Usage: generate.py --rows 20000 --seed 1 --out train.csv
The same seed and number of rows give the same bytes. Empty fields are missing values. The last column, install, is the label.
"""

import argparse
import sys

import numpy as np

PLATFORMS, CONNECTIONS, COUNTRIES, CAMPAIGNS, GAMES = 2, 5, 60, 300, 400
DAY = 86400
EPOCH = 1767225600  # 2026-01-01T00:00:00Z, a Thursday

# The hidden truth about campaigns, games and countries is that of every file, whatever its seed: train and test must agree.
WORLD_SEED = 20260101


def zipf_codes(rng, n, size, exponent):
    """Draws codes 0..n-1, the first ones far more often."""
    weights = 1.0 / np.arange(1, n + 1) ** exponent
    return rng.choice(n, size=size, p=weights / weights.sum())


def heavy(rng, mean, spread, size):
    """Counts with a heavy tail: Poisson with a log-normal rate around mean."""
    return rng.poisson(np.minimum(mean * rng.lognormal(-spread * spread / 2, spread, size), 1e6))


def ratio(part, whole):
    """part/whole, missing where whole is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def world():
    """Returns what is the same in every file: how good campaigns, games and countries are."""
    rng = np.random.default_rng(WORLD_SEED)
    return {
        "campaign_appeal": rng.normal(0, 0.7, CAMPAIGNS),
        "campaign_genre": rng.integers(0, 12, CAMPAIGNS),
        "campaign_bid": rng.lognormal(0.6, 0.6, CAMPAIGNS),
        "campaign_length": rng.choice([6.0, 15.0, 20.0, 30.0], CAMPAIGNS),
        "game_quality": rng.normal(0, 0.5, GAMES),
        "game_genre": rng.integers(0, 12, GAMES),
        "country_wealth": np.sort(rng.normal(0, 1, COUNTRIES))[::-1],
    }


def impressions(rng, rows):
    """Returns the columns, in order, of that many impressions; the last one is the label."""
    w = world()
    # Who: taste is what a user likes to try; it is hidden, and shows in the user's history alone.
    taste = rng.normal(0, 1, rows)
    country = zipf_codes(rng, COUNTRIES, rows, 0.9)
    wealth = w["country_wealth"][country]
    platform = (rng.random(rows) < 1 / (1 + np.exp(-0.3 - 0.6 * wealth))).astype(int)
    device_tier = np.clip(np.rint(2 + 0.8 * wealth + 0.5 * platform + rng.normal(0, 0.8, rows)), 0, 4)
    device_model = (device_tier * 40 + zipf_codes(rng, 40, rows, 1.0)).astype(int)
    os_major = np.clip(np.rint(13 + device_tier - 2 * rng.exponential(0.7, rows)), 6, 18)
    connection = np.where(rng.random(rows) < 0.62, 0, 1 + zipf_codes(rng, CONNECTIONS - 1, rows, 1.2))
    bandwidth = rng.lognormal(3.2 - 0.5 * (connection > 0) + 0.2 * wealth, 0.8, rows)
    free_memory = rng.lognormal(6.5 + 0.4 * device_tier, 0.7, rows)
    battery = np.clip(rng.beta(2.2, 1.5, rows), 0.01, 1)

    # What and where: the ad and the game that shows it.
    campaign, game = zipf_codes(rng, CAMPAIGNS, rows, 0.8), zipf_codes(rng, GAMES, rows, 0.8)
    same_genre = (w["campaign_genre"][campaign] == w["game_genre"][game]).astype(int)
    length = w["campaign_length"][campaign]
    rewarded = (rng.random(rows) < 0.55).astype(int)

    # When.
    at = EPOCH + rng.integers(0, 90 * DAY, rows)
    local = at + 3600 * rng.integers(-8, 9, rows)
    hour, weekday = (local % DAY) // 3600, (local // DAY + 3) % 7
    date = local.astype("datetime64[s]").astype("datetime64[D]")
    day_of_month = (date - date.astype("datetime64[M]")).astype(int) + 1
    evening = np.exp(-(((hour - 20 + 12) % 24 - 12) ** 2) / 18)

    # The user's history, with the game, and with the campaign.
    active = np.exp(0.5 * rng.normal(0, 1, rows) + 0.2 * taste)
    starts = heavy(rng, 28 * active, 1.1, rows)
    views = rng.binomial(starts, np.clip(0.78 + 0.1 * rewarded, 0, 1))
    clicks = rng.binomial(views, 1 / (1 + np.exp(2.6 - 0.6 * taste)))
    installs = rng.binomial(clicks, 1 / (1 + np.exp(2.2 - 0.8 * taste)))
    day_starts = rng.binomial(starts, 0.12)
    day_views = rng.binomial(day_starts, 0.8)
    game_starts = rng.binomial(starts, 0.45)
    game_views = rng.binomial(game_starts, 0.8)
    game_clicks = np.minimum(rng.binomial(game_views, 0.08), clicks)
    campaign_starts = rng.binomial(starts, 0.07)
    campaign_views = rng.binomial(campaign_starts, 0.8)
    campaign_clicks = np.minimum(rng.binomial(campaign_views, 1 / (1 + np.exp(2.8 - w["campaign_appeal"][campaign]))), clicks)

    # What everybody did with the campaign and with the game, up to yesterday.
    all_starts = heavy(rng, 4000 / (1 + campaign) ** 0.4, 0.5, rows)
    all_views = rng.binomial(all_starts, 0.8)
    all_clicks = rng.binomial(all_views, 1 / (1 + np.exp(2.7 - 0.8 * w["campaign_appeal"][campaign])))
    all_installs = rng.binomial(all_clicks, 1 / (1 + np.exp(1.9 - 0.8 * w["campaign_appeal"][campaign])))
    place_views = heavy(rng, 3000, 0.6, rows)
    place_clicks = rng.binomial(place_views, 1 / (1 + np.exp(2.7 - 0.6 * w["game_quality"][game])))
    since_last = np.where(starts > 0, rng.exponential(20000 / (1 + starts / 10)), np.nan)
    since_click = np.where(clicks > 0, rng.exponential(200000 / (1 + clicks)), np.nan)
    since_install = np.where(installs > 0, rng.exponential(900000 / (1 + installs)), np.nan)
    age_days = np.floor(rng.exponential(60, rows) + starts / 40)
    session = rng.poisson(420 * rng.lognormal(0, 0.6, rows))

    # The hidden propensity. What wears off (seeing the same ad often) and what only works together is what trees are good at.
    logit = (
        -5.0
        + 1.0 * taste
        + 0.9 * w["campaign_appeal"][campaign]
        + 0.5 * w["game_quality"][game]
        + 0.9 * same_genre
        + 0.35 * wealth * (platform == 1)
        + 0.4 * evening
        + 0.3 * rewarded
        - 0.25 * np.log1p(campaign_views)
        - 0.5 * (connection >= 3) * (length > 15)
        - 0.6 * (battery < 0.15)
        - 0.5 * (free_memory < 400)
        + 0.3 * (weekday >= 5)
    )
    install = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)

    # Old clients do not report these.
    old = rng.random(rows) < 0.04
    bandwidth, battery, free_memory = (np.where(old, np.nan, c) for c in (bandwidth, battery, free_memory))
    bandwidth = np.where(rng.random(rows) < 0.06, np.nan, bandwidth)

    return {
        "device_model": device_model, "device_tier": device_tier, "os_major": os_major, "platform": platform,
        "connection": connection, "bandwidth_mbps": np.round(bandwidth, 2), "free_memory_mb": np.round(free_memory),
        "battery": np.round(battery, 2), "country": country, "country_tier": np.digitize(-wealth, [-1, 0, 1]),
        "campaign_id": 10000 + campaign, "campaign_genre": w["campaign_genre"][campaign],
        "campaign_bid": np.round(w["campaign_bid"][campaign], 2), "video_seconds": length,
        "game_id": 50000 + game, "game_genre": w["game_genre"][game], "same_genre": same_genre, "rewarded": rewarded,
        "hour": hour, "weekday": weekday, "day_of_month": day_of_month, "minute": local % 3600 // 60,
        "is_weekend": (weekday >= 5).astype(int),
        "user_age_days": age_days, "session_seconds": session,
        "user_starts": starts, "user_views": views, "user_clicks": clicks, "user_installs": installs,
        "user_starts_day": day_starts, "user_views_day": day_views,
        "user_game_starts": game_starts, "user_game_views": game_views, "user_game_clicks": game_clicks,
        "user_campaign_starts": campaign_starts, "user_campaign_views": campaign_views, "user_campaign_clicks": campaign_clicks,
        "seconds_since_start": np.round(since_last), "seconds_since_click": np.round(since_click),
        "seconds_since_install": np.round(since_install),
        "campaign_starts": all_starts, "campaign_views": all_views, "campaign_clicks": all_clicks, "campaign_installs": all_installs,
        "game_views": place_views, "game_clicks": place_clicks,
        "user_view_rate": np.round(ratio(views, starts), 5), "user_ctr": np.round(ratio(clicks, views), 5),
        "user_cvr": np.round(ratio(installs, clicks), 5), "user_view_rate_day": np.round(ratio(day_views, day_starts), 5),
        "user_game_ctr": np.round(ratio(game_clicks, game_views), 5),
        "user_campaign_ctr": np.round(ratio(campaign_clicks, campaign_views), 5),
        "campaign_view_rate": np.round(ratio(all_views, all_starts), 5), "campaign_ctr": np.round(ratio(all_clicks, all_views), 5),
        "campaign_cvr": np.round(ratio(all_installs, all_clicks), 5), "game_ctr": np.round(ratio(place_clicks, place_views), 5),
        "install": install,
    }


def text(value):
    """Writes a number as short as it can be read back; missing is empty."""
    if value != value:
        return ""
    return str(int(value)) if value == int(value) else repr(float(value))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20000, help="impressions to write (default 20000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same rows (default 1)")
    parser.add_argument("--out", required=True, help="the CSV file to write")
    args = parser.parse_args()
    if args.rows < 1:
        parser.error("--rows must be at least 1")

    columns = impressions(np.random.default_rng(args.seed), args.rows)
    inputs = len(columns) - 1
    if inputs != 56:
        sys.exit(f"{inputs} inputs, want 56: the columns were changed")
    with open(args.out, "w", encoding="ascii", newline="\n") as out:
        out.write(",".join(columns) + "\n")
        for row in zip(*(c.tolist() for c in columns.values())):
            out.write(",".join(map(text, row)) + "\n")
    print(f"{args.out}: {args.rows} synthetic impressions, {100 * columns['install'].mean():.2f} % install")


if __name__ == "__main__":
    main()
