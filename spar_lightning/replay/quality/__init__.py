"""Data that can be read, and yet teach something else than was meant: one home for the rules of `info` and `fit`."""

from spar_lightning.replay.quality.bounds import action_bounds
from spar_lightning.replay.quality.chunk import Chunk, IntArray
from spar_lightning.replay.quality.findings import Finding, Quality
from spar_lightning.replay.quality.lost_rewards import LostRewards
from spar_lightning.replay.quality.sound import Sound, sound_transitions

__all__ = ["Chunk", "Finding", "IntArray", "LostRewards", "Quality", "Sound", "action_bounds", "sound_transitions"]
