"""Cards of all operators, one file for each paper; they import no torch."""

from . import (
    convolutions,
    integral_action,
    lisa,
    mixers,
    motion,
    motion_squeeze,
    renet,
    rsa,
    selfy,
    sifa,
    standard,
    tsm,
)

ALL = (
    *standard.CARDS,
    *convolutions.CARDS,
    *tsm.CARDS,
    *motion_squeeze.CARDS,
    *selfy.CARDS,
    *rsa.CARDS,
    *sifa.CARDS,
    *renet.CARDS,
    *integral_action.CARDS,
    *lisa.CARDS,
    *motion.CARDS,
    *mixers.CARDS,
)
