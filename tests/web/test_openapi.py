"""The description of the API is complete, and true to what is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.web.serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Settings


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    return {}


@pytest.fixture
def schema(settings: Settings, documents: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The document, and the addresses below /api/v1 that the app really serves."""
    if not documents:
        with served(settings) as running:
            documents.update(httpx.get(f"{running.url}/api/v1/openapi.json").json())
            documents["served"] = {
                (method.lower(), route.path_format)
                for route in running.app.routes
                if route.path.startswith("/api/v1/") and "openapi" not in route.path
                for method, (handler, _) in route.route_handler_map.items()
                if handler.handler_name != "options_handler"
            }
    yield documents


def operations(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    ]


def test_every_address_of_the_api_is_described(schema: dict[str, Any]) -> None:
    assert {(method, path) for method, path, _ in operations(schema)} == schema["served"]


def test_every_operation_says_what_it_is_and_how_it_fails(schema: dict[str, Any]) -> None:
    known = {tag["name"] for tag in schema["tags"]}
    for method, path, operation in operations(schema):
        where = f"{method} {path}"
        assert operation.get("summary"), where
        assert set(operation.get("tags", [])) <= known and operation.get("tags"), where
        answers = operation["responses"]
        assert "application/problem+json" in answers["default"]["content"], where
        assert all(code == "default" or code < "400" for code in answers), where
        for code, answer in answers.items():
            empty = code in ("204", "default")
            assert empty or answer.get("content"), f"{where} {code}"


def test_references_lead_somewhere(schema: dict[str, Any]) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name == "$ref":
                    yield inner
                else:
                    yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    found = set(references({k: v for k, v in schema.items() if k != "served"}))
    assert found
    for reference in found:
        name = reference.removeprefix("#/components/schemas/")
        assert name in schema["components"]["schemas"], reference


def test_operations_have_names_of_their_own(schema: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(names) == len(set(names))


def test_tokens_are_how_one_signs_in(schema: dict[str, Any]) -> None:
    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert schema["security"] == [{"token": []}]
