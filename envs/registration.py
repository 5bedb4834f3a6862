"""Makes the environment known to gymnasium: `gymnasium.make("envs.registration:automl/Compression-v0", ...)`."""

import gymnasium

ID = "automl/Compression-v0"
"""Of the environment; versions grow where its episodes would differ."""

gymnasium.register(
    id=ID,
    entry_point="envs.compression:CompressionEnv",
    vector_entry_point="envs.vector:CompressionVectorEnv",
)
