"""User agent → device class, in SQL, so that no user agent outlives the statement that reads it.

A list of its own rather than a parser library: those run row by row in Python, and know thousands of models where the
four classes below are decided by a few words that browsers have kept for a decade.
"""

from __future__ import annotations

import duckdb

# Said by crawlers, monitors, headless browsers and HTTP clients. `Cubot` is a make of phones.
BOT = (
    r"(?i)(^|[^u])bot|crawl|spider|slurp|headless|phantomjs|lighthouse|page ?speed|pingdom|gtmetrix|uptime|synthetic|"
    r"preview|scrap|facebookexternalhit|mediapartners|"
    r"^(curl|wget|python|java|go-http|okhttp|axios|node|undici|libwww|apache-http|postman)"
)
# They name Linux or Android as well, and are neither phones nor desks.
TELEVISION = (
    r"(?i)smart-?tv|\btv\b|appletv|googletv|hbbtv|web0s|tizen.*tv|bravia|aft[a-z]{1,2} build|roku|"
    r"playstation|xbox|nintendo"
)
TABLET = r"(?i)ipad|tablet|kindle|silk/|playbook"
# Android says Mobile on phones and leaves it out on tablets. iPadOS names itself a Macintosh: it counts as a desktop.
MOBILE = r"(?i)mobi|iphone|ipod|windows phone|opera mini|blackberry"
DESKTOP = r"(?i)windows nt|macintosh|x11|cros |linux"

DEVICE_CLASS = f"""
create or replace temp macro device_class(user_agent) as case
    when user_agent is null then null
    when regexp_matches(user_agent, '{BOT}') then 'bot'
    when regexp_matches(user_agent, '{TELEVISION}') then 'unknown'
    when regexp_matches(user_agent, '{TABLET}') then 'tablet'
    when regexp_matches(user_agent, '{MOBILE}') then 'mobile'
    when contains(lower(user_agent), 'android') then 'tablet'
    when regexp_matches(user_agent, '{DESKTOP}') then 'desktop'
    else 'unknown'
end
"""


def use_in(connection: duckdb.DuckDBPyConnection) -> None:
    """Make device_class(user_agent) known to the statements of a connection."""
    connection.execute(DEVICE_CLASS)
