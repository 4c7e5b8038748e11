"""Routes are templates, user agents are classes, and neither a raw address nor a user agent is stored."""

from __future__ import annotations

from itertools import product

import duckdb
import pytest

from dagster_project import routes, user_agents
from dagster_project.routes import RouteRule, common_template


@pytest.fixture(scope="module")
def database():
    with duckdb.connect() as connection:
        routes.use_in(connection)
        user_agents.use_in(connection)
        yield connection


def template(connection, route: str, service: str = "web") -> str:
    return connection.execute("select route_template($1, $2)", [service, route]).fetchone()[0]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/orders/17", "/orders/:id"),
        ("/orders/17/items/4", "/orders/:id/items/:id"),
        ("/17/18/19", "/:id/:id/:id"),
        ("/p/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/p/:id"),
        ("/commit/9fceb02d0ae598e95dc970b74767f19372d61af8/tree", "/commit/:id/tree"),
        ("/products/blue-shoes-20231", "/products/:id"),
        ("/orders/order-17", "/orders/:id"),
        ("/watch/dQw4w9WgXcQ", "/watch/:id"),
        ("/magic/long-winded-slug-of-2-words", "/magic/:id"),
        ("/users/ada@example.org", "/users/:id"),
        ("/users/ada%40example.org/orders", "/users/:id/orders"),
        ("/s/%E4%B8%AD", "/s/:id"),
        ("/cart?coupon=SPRING", "/cart"),
        ("/cart#payment", "/cart"),
        ("/cart/", "/cart"),
        ("/cart;jsessionid=A1", "/cart"),
        ("https://shop.example/cart?x=1", "/cart"),
        ("https://shop.example", "/"),
        ("https://shop.example?x=/orders/1", "/"),
        ("//cdn.example/a/1", "/a/:id"),
        ("file:///home/index", "/home/index"),
        ("/", "/"),
    ],
)
def test_ids_hosts_and_queries_leave_a_route(database, given, kept):
    assert template(database, given) == kept


@pytest.mark.parametrize(
    "route",
    [
        "/products/:slug",
        "/users/{userId}",
        "/posts/[...slug]",
        "/docs/*",
        "/v2/products",
        "/oauth2/callback",
        "/facade/deadbeat",
        "checkout step 2",
        "/:id2345",
        "/(shop)/cart",
    ],
)
def test_what_is_a_template_or_a_word_stays(database, route):
    assert template(database, route) == route


def test_the_short_way_for_numbers_finds_what_a_look_at_each_segment_finds(database):
    pieces = ["", "orders", "12", "v2", "a1B2c3d4e5", "%20", "x@y", "--------", "feedface", ":id2", "[slug]", "12-a"]
    paths = [first + "/".join(rest) for first in ("", "/") for rest in product(pieces, repeat=3)]
    different = database.execute(
        "select path from unnest($1) as paths (path) where route_without_ids(path) <> route_by_segments(path)", [paths]
    ).fetchall()
    assert not different


def test_an_optional_parameter_starts_no_query(database):
    assert template(database, "/users/:id?/edit") == "/users/:id/edit"


def test_a_template_of_the_organisation_goes_before_the_rules():
    rules = [
        RouteRule("web", "/products/:slug"),
        RouteRule(None, "/404"),
        RouteRule("web", "/help/*"),
        RouteRule("web", "/it's/:x-y"),
    ]
    with duckdb.connect() as connection:
        routes.use_in(connection, rules)
        assert template(connection, "https://shop.example/products/blue-shoes?size=4") == "/products/:slug"
        assert template(connection, "/products/blue/reviews") == "/products/blue/reviews"
        assert template(connection, "/products/blue", service="admin") == "/products/blue"
        assert template(connection, "/404", service="admin") == "/404"
        assert template(connection, "/help/a/b/c") == "/help/*"
        assert template(connection, "/it's/1-y") == "/it's/:x-y"


def test_no_route_stays_none(database):
    assert template(database, None) is None


def test_the_segment_in_which_routes_differ_most_is_the_suggested_parameter():
    assert common_template(["/p/a/reviews", "/p/b/reviews", "/p/c/reviews", "/p/c/photos", "/x"]) == "/p/:name/reviews"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126", "desktop"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1 Mobile/15E148 Safari", "mobile"),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36", "mobile"),
        (
            "Mozilla/5.0 (Linux; Android 13; CUBOT NOTE 30) AppleWebKit/537.36 Chrome/126.0 Mobile",
            "mobile",
        ),
        ("Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 Chrome/126.0 Safari/537.36", "tablet"),
        ("Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1 Mobile/15E148 Safari", "tablet"),
        ("Mozilla/5.0 (Linux; Android 12; BRAVIA 4K) AppleWebKit/537.36 Chrome/100 Safari/537.36", "unknown"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/126.0 Safari/537.36", "bot"),
        ("curl/8.6.0", "bot"),
        ("something else", "unknown"),
        (None, None),
    ],
)
def test_a_user_agent_becomes_a_device_class(database, user_agent, device):
    assert database.execute("select device_class($1)", [user_agent]).fetchone()[0] == device
