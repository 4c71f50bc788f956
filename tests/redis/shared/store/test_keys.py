from __future__ import annotations

from redis import Redis

from shared.store import keys


def test_python_and_lua_give_the_same_keys(redis: Redis) -> None:
    families = {name: kind for name, kind in vars(keys).items() if isinstance(kind, keys.Family)}
    for name, kind in families.items():
        parts = [f"part {n}" for n in range(kind.pattern.count("{}"))]
        arguments = ", ".join(f"ARGV[{n}]" for n in range(1, len(parts) + 1))
        source = keys.lua_names(f"{name}_key") + f"return {name}_key({arguments})"
        assert redis.eval(source, 0, *parts) == kind(*parts)
