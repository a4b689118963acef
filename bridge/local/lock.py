"""Makes `jars.lock`: `python -m bridge.local.lock`. Needs the network; run it to move to another version.

A trailing `!` keeps jgo from applying an artifact's own dependency management to the others, which would
silently downgrade kafka-clients.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from jgo.maven import Artifact, MavenContext

from bridge.local.jars import LOCK, Jar

KAFKA = ("org.apache.kafka:kafka_2.13:4.3.1!", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!")
REGISTRY = ("io.apicurio", "apicurio-registry-app", "3.3.3", "all", "tar.gz")
HEAD = "# Made by `python -m bridge.local.lock`; do not edit.\n"


def kafka_artifacts(context: MavenContext) -> list[Artifact]:
    """The broker, its logging and everything they need at run time, in class path order."""
    inputs, transitive = context.resolver.resolve([context.create_dependency(each) for each in KAFKA])
    return [each.artifact for each in [*inputs, *transitive] if each.scope in (None, "compile", "runtime")]


def registry_artifact(context: MavenContext) -> Artifact:
    """Apicurio Registry with its libraries in one archive."""
    group, artifact, version, classifier, packaging = REGISTRY
    return context.project(group, artifact).at_version(version).artifact(classifier, packaging)


def jar(artifact: Artifact) -> Jar:
    """The lock's entry of an artifact; downloads it."""
    path: Path = artifact.resolve()
    parts = (artifact.groupId, artifact.artifactId, artifact.packaging, artifact.classifier, artifact.version)
    content = path.read_bytes()
    return Jar(":".join(part for part in parts if part), path.name, hashlib.sha256(content).hexdigest(), len(content))


def render(part: str, jars: Iterable[Jar]) -> str:
    """The part of the lock, in TOML."""
    return "\n".join(
        f"[[{part}]]\ncoordinates = {json.dumps(each.coordinates)}\nfile = {json.dumps(each.file)}\n"
        f"sha256 = {json.dumps(each.sha256)}\nsize = {each.size}\n"
        for each in jars
    )


def main() -> None:
    """Resolves in an empty repository, so that nothing of this machine gets into the lock."""
    with tempfile.TemporaryDirectory() as directory:
        context = MavenContext(repo_cache=Path(directory), timeout=60)
        kafka = render("kafka", map(jar, kafka_artifacts(context)))
        registry = render("registry", [jar(registry_artifact(context))])
    LOCK.write_text(f"{HEAD}\n{kafka}\n{registry}")


if __name__ == "__main__":
    main()
