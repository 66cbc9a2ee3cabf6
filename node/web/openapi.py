"""The API's OpenAPI 3.1 description, generated from the routes and their types."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec

from node.web.problems import CONTENT_TYPE, Problem
from node.web.route import API, Route

_REF: Final = "#/components/schemas/{name}"
_FAULTS: Final = {
    "400": "The query or the body is invalid.",
    "401": "No valid token.",
    "403": "The token, or this server, does not allow it.",
    "404": "Not found.",
    "408": "The body did not arrive in time.",
    "409": "Not possible in the present state.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "421": "The Host header names another host.",
    "503": "Too many requests at once.",
}


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI description of these routes."""
    types: list[Any] = [Problem]
    for route in routes:
        types += [route.answer, route.asks]
    schemas, components = msgspec.json.schema_components(
        list(dict.fromkeys(types)), ref_template=_REF, schema_hook=_anything
    )
    known = dict(zip(dict.fromkeys(types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(API + route.path, {})[route.method.lower()] = _operation(
            route, known, components
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "arnode", "version": version("arnode")},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _anything(kind: type) -> dict[str, Any]:
    """Return the schema of any JSON value. Raises NotImplementedError unless `kind` is `object`."""
    if kind is not object:
        raise NotImplementedError  # msgspec's signal that a type has no schema
    return {"$comment": "any value"}  # an empty schema would count as missing


def _operation(
    route: Route, known: dict[Any, dict[str, Any]], components: dict[str, Any]
) -> dict[str, Any]:
    shape = components[known[route.asks]["$ref"].rsplit("/", 1)[-1]]
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _name_of(route),
        "parameters": _parameters(route, shape),
        "responses": {
            "200": {
                "description": "The document.",
                "content": {
                    "application/json": {
                        "schema": {
                            "allOf": [
                                known[route.answer],
                                {
                                    "type": "object",
                                    "properties": {"v": {"const": 1}},
                                    "required": ["v"],
                                },
                            ]
                        }
                    }
                },
            },
            **{
                status: {
                    "description": why,
                    "content": {CONTENT_TYPE: {"schema": known[Problem]}},
                }
                for status, why in _FAULTS.items()
            },
        },
    }
    if route.needs is not None:
        operation["security"] = [{"token": []}]
    if route.method == "POST":
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _without(shape, route.names)}},
        }
    return operation


def _name_of(route: Route) -> str:
    words = route.path.replace("{", "by_").replace("}", "").strip("/").replace("/", "_")
    return f"{route.method.lower()}_{words.replace('.', '_')}"


def _parameters(route: Route, shape: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters in a route's path and in its query."""
    needed = shape.get("required", [])
    return [
        {
            "name": name,
            "in": "path" if name in route.names else "query",
            "required": name in needed,
            "schema": _in_a_url(schema),
        }
        for name, schema in shape["properties"].items()
        if name in route.names or route.method == "GET"
    ]


def _in_a_url(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a field's schema for use in a URL, without null: a URL omits the field instead."""
    kinds = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if not kinds:
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**rest, **kinds[0]} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _without(shape: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return an object's schema without the fields that are in the path."""
    kept = {name: schema for name, schema in shape["properties"].items() if name not in names}
    needed = [name for name in shape.get("required", []) if name not in names]
    return {**shape, "properties": kept, "required": needed}
