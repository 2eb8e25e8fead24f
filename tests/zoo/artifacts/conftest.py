from tests.support.hub_fixtures import _made, _server, client, hub, tiny  # noqa: F401  # fixtures
