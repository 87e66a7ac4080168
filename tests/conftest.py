"""Shared fixtures: a fresh instance in tmp_path, made once per session by `afregning new` and copied per test."""

import shutil
from pathlib import Path

import pytest

pytest.register_assert_rewrite("driver")

from driver import Platform  # noqa: E402  (its asserts explain themselves only when registered first)
from postgres import either_database, either_platform, make_platform_on, postgres_server  # noqa: E402, F401

# Modules whose tests share something that takes long to make, by what it is: one worker makes it, and takes them all.
TOGETHER = {
    "demo": (
        "test_browser", "test_commitments_page", "test_dashboards", "test_end_to_end", "test_explain", "test_intake_page",
        "test_invoices_page", "test_lineage", "test_quality_page", "test_rebuild",
    ),
    **{
        module: (module,) for module in (
            "test_commitments", "test_dagster", "test_demo", "test_demo_invoices", "test_landing", "test_marts",
            "test_quality_rules", "test_reproduce", "test_run", "test_second_municipality", "test_source_matrix", "test_sources",
        )
    },
}  # fmt: skip
_GROUPS = {module: group for group, modules in TOGETHER.items() for module in modules}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Workers take whole groups, then the other tests one by one. The mark `xdist_group` would say it, but groups nothing
    under pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _GROUPS.get(Path(nodeid.partition("::")[0]).stem, nodeid)

    return Together(config, log)


def pytest_collection_modifyitems(config, items):
    if "heavy" in (config.option.markexpr or ""):
        return
    skip = pytest.mark.skip(reason="heavy: run with -m heavy")
    for item in items:
        if "heavy" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def new_instance(tmp_path_factory):
    """The folder of an empty instance of municipality 461 with the users anna and bo; never written to by a test."""
    from ingestion.warehouse import open_warehouse
    from settlement.instance import open_instance

    home = tmp_path_factory.mktemp("afregning") / "instance"
    with pytest.MonkeyPatch.context() as environment:
        Platform(home, environment).must("new", "--municipality", "461", "--with-demo-users")
    with open_warehouse(open_instance(home)):
        pass  # laid out once, not by every test
    return home


@pytest.fixture(scope="session")
def instance_after(new_instance, tmp_path_factory):
    """A function that gives the folder of an instance as `prepare(platform)` leaves it, made once; never written to by a test."""
    made = {}

    def give(prepare):
        if prepare not in made:
            home = tmp_path_factory.mktemp(prepare.__name__) / "instance"
            shutil.copytree(new_instance, home)
            with pytest.MonkeyPatch.context() as environment:
                prepare(Platform(home, environment))
            made[prepare] = home
        return made[prepare]

    return give


@pytest.fixture
def make_platform(new_instance, instance_after, tmp_path, monkeypatch):
    """A function that gives one more fresh instance, driven through its commands, or with `prepare` one after that."""

    def make(prepare=None):
        home = tmp_path / f"world{len(list(tmp_path.iterdir()))}" / "instance"
        shutil.copytree(instance_after(prepare) if prepare else new_instance, home)
        return Platform(home, monkeypatch)

    return make


@pytest.fixture
def platform(make_platform):
    return make_platform()
