"""Data-parallel training on several processes and machines over MPI, through mpi4py."""

from minidl.distributed.world import RankError as RankError
from minidl.distributed.world import World as World
from minidl.distributed.world import map as map
from minidl.distributed.world import start as start
