"""The microphone that is answered while somebody speaks: its panel, its routes, and the sound on its way."""
