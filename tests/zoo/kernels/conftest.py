from tests.support.isas import isa  # noqa: F401  # fixture
