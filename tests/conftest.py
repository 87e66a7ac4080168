"""Shared fixtures: a fresh instance in tmp_path, made once per session by `afregning new` and copied per test."""

import shutil

import pytest

pytest.register_assert_rewrite("driver")

from driver import Platform  # noqa: E402  (its asserts explain themselves only when registered first)
from postgres import either_platform, make_platform_on, postgres_server  # noqa: E402, F401

# Modules whose tests share something that takes long to make: one worker makes it, and takes them all.
TOGETHER = {
    "test_run", "test_dagster", "test_sources", "test_second_municipality", "test_reproduce", "test_landing", "test_source_matrix",
}  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        module = item.module.__name__
        if "demo_home" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("demo"))
        elif module in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(module))
    if "heavy" in (config.option.markexpr or ""):
        return
    skip = pytest.mark.skip(reason="heavy: run with -m heavy")
    for item in items:
        if "heavy" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def new_instance(tmp_path_factory):
    """The folder of an empty instance of municipality 461 with the users anna and bo; never written to by a test."""
    home = tmp_path_factory.mktemp("afregning") / "instance"
    with pytest.MonkeyPatch.context() as environment:
        Platform(home, environment).must("new", "--municipality", "461", "--with-demo-users")
    return home


@pytest.fixture
def make_platform(new_instance, tmp_path, monkeypatch):
    """A function that gives one more fresh instance, driven through its commands."""

    def make():
        home = tmp_path / f"world{len(list(tmp_path.iterdir()))}" / "instance"
        shutil.copytree(new_instance, home)
        return Platform(home, monkeypatch)

    return make


@pytest.fixture
def platform(make_platform):
    return make_platform()
