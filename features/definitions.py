"""The Feast objects, made from the catalogue: entities, sources, feature views, feature services."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from common.errors import NotFoundError
from common.settings import OnlineStoreSettings
from common.workspace import Workspace
from features.catalogue import SERVICES, OwnFields, ViewSpec, views_of
from features.feast_import import feast

_ENTITIES = {
    "lead_id": "A lead.",
    "opportunity_id": "A deal.",
    "rep_id": "A salesperson.",
    "segment_id": "Leads of one source and landing page.",
    "account_id": "A company that buys or may buy.",
    "stage_id": "A stage of a pipeline.",
    "competitor_id": "A competitor, by name.",
    "series_id": "Company, region, team or rep.",
}


def project_of(workspace: Workspace) -> str:
    """Feast's project of a workspace; its names know no hyphen."""
    return f"salience_{workspace.name.replace('-', '_')}"


def offline_folder(workspace: Workspace, view: ViewSpec) -> Path:
    """Folder of a view's Parquet files."""
    return workspace.features / "offline" / view.name


def registry_file(workspace: Workspace) -> Path:
    """Feast's registry."""
    return workspace.features / "registry.db"


def online_database(workspace: Workspace) -> Path:
    """SQLite file of the online store."""
    return workspace.features / "online.db"


def served_views(tables: Collection[str], *, extensions: OwnFields = ()) -> tuple[ViewSpec, ...]:
    """All views of all services that a warehouse can fill, each once: see `views_of`."""
    views: dict[str, ViewSpec] = {}
    for service in SERVICES:
        try:
            views |= {view.name: view for view in views_of(service, tables, extensions=extensions)}
        except NotFoundError:
            continue  # this source has nothing for the service's model
    return tuple(views.values())


def repo_config(workspace: Workspace, online_store: OnlineStoreSettings) -> Any:
    """Feast's configuration of a workspace: file registry, ASOF offline store, SQLite or Redis online."""
    from feast.repo_config import RepoConfig

    if online_store.kind == "redis":
        online: dict[str, Any] = {
            "type": "features.online_store.RedisRowOnlineStore",
            "connection_string": online_store.redis_address,
        }
    else:
        online = {
            "type": "features.online_store.SqliteRowOnlineStore",
            "path": str(online_database(workspace).absolute()),
        }
    return RepoConfig(
        project=project_of(workspace),
        provider="local",
        registry={"path": str(registry_file(workspace)), "cache_ttl_seconds": 0},
        offline_store={"type": "features.offline_store.AsofOfflineStore"},
        online_store=online,
        entity_key_serialization_version=3,
        repo_path=workspace.features,
    )


def feast_objects(workspace: Workspace, tables: Collection[str], *, extensions: OwnFields = ()) -> list[Any]:
    """Entities, views and services for what the warehouse can fill."""
    views = served_views(tables, extensions=extensions)
    entities = {key: _entity(key) for key in dict.fromkeys(view.join_key for view in views)}
    feature_views = {view.name: _feature_view(workspace, view, entities[view.join_key]) for view in views}
    return [*entities.values(), *feature_views.values(), *_services(feature_views, tables, extensions)]


def _services(feature_views: dict[str, Any], tables: Collection[str], extensions: OwnFields) -> Iterable[Any]:
    for service in SERVICES.values():
        if service.views[0] not in feature_views:
            continue
        views = views_of(service.name, tables, extensions=extensions)
        projections = [feature_views[view.name][[feature.name for feature in view.features]] for view in views]
        yield feast().FeatureService(name=service.name, features=projections, description=service.about)


def _entity(key: str) -> Any:
    value_type = feast().ValueType.STRING
    return feast().Entity(name=key, join_keys=[key], value_type=value_type, description=_ENTITIES[key])


def _feature_view(workspace: Workspace, view: ViewSpec, entity: Any) -> Any:
    from feast.data_format import ParquetFormat

    source = feast().FileSource(
        name=f"{view.name}_files",
        path=str(offline_folder(workspace, view)),
        # Feast guesses the format by a file's name, and this is a folder.
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    return feast().FeatureView(
        name=view.name,
        entities=[entity],
        schema=_fields(view),
        source=source,
        ttl=timedelta(days=view.ttl_days),
        description=view.about,
    )


def _fields(view: ViewSpec) -> list[Any]:
    from feast.types import Bool, Float64, Int64, String

    types = {"float": Float64, "int": Int64, "bool": Bool, "category": String}
    field = feast().Field
    fields = [field(name=view.join_key, dtype=String)]
    fields += [field(name=f.name, dtype=types[f.dtype], description=f.about) for f in view.features]
    fields += [
        field(name=column, dtype=String, description=f"Key {key} to read on with.") for column, key in view.foreign_keys
    ]
    return fields
