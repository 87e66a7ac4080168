"""A small demo municipality, made and run once per session by the real commands; tests that change it copy it first."""

import shutil

import pytest
from driver import Platform
from sqlalchemy.orm import Session

PEOPLE = {  # beside the controllers anna and bo of `new --with-demo-users`
    "rita": ("revisor", ""),
    "dan": ("datateam", ""),
    "sofie": ("sagsbehandler", "VO-BO"),
}


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory):
    """The folder of a demo instance of 2,000 inhabitants with published marts and open proposals. Read only."""
    from settlement.instance import open_instance
    from settlement.ledger.register import add_user, open_register

    home = tmp_path_factory.mktemp("dashboards") / "instance"
    with pytest.MonkeyPatch.context() as environment:
        demo = Platform(home, environment)
        demo.must("new", "--municipality", "657", "--with-demo-users")
        demo.must("demo", "--population", "2000", "--months", "15")
        demo.must("run")
    engine = open_register(open_instance(home))
    with Session(engine) as session, session.begin():
        for name, (role, department) in PEOPLE.items():
            add_user(session, name, role, department)
    engine.dispose()
    return home


@pytest.fixture
def own_home(demo_home, tmp_path):
    """A copy of the demo instance that the test may change."""
    return shutil.copytree(demo_home, tmp_path / "own", symlinks=True)
