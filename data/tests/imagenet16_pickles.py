"""Small batches in the layout of ImageNet16, written by the real pickle and numpy, and pickles to be refused.

Prints lines `name hex`.
usage: (python2.7 imagenet16_pickles.py; python3 imagenet16_pickles.py) > imagenet16_pickles.txt    (numpy)
"""
import binascii
import os
import sys
from collections import OrderedDict

import numpy as np

if sys.version_info[0] == 2:
    import cPickle as pickle
else:
    import pickle

PYTHON = "python%d" % sys.version_info[0]
DATA = np.arange(36, dtype=np.uint8).reshape(3, 12)
DATA[2] += 200


def batch(**changes):
    entries = [("data", DATA), ("labels", [1, 120, 121]), ("mean", np.arange(12) / 4.0)]
    return OrderedDict(entries, **changes)


def show(name, value, protocol):
    text = binascii.hexlify(pickle.dumps(value, protocol)).decode()
    print("%s_protocol%d_%s %s" % (PYTHON, protocol, name, text))


class Command(object):
    def __reduce__(self):
        return os.system, ("echo unsafe",)


for protocol in [2] if PYTHON == "python2" else [2, 3, 4]:
    show("batch", dict(batch()), protocol)
    show("fortran", dict(batch(data=np.asfortranarray(DATA))), protocol)
if PYTHON == "python2":
    show("many", {"labels": [7] * 1001 + [300, -1, 70000]}, 2)
show("array_labels", dict(batch(labels=np.array([1, 120, 121]))), 2)
show("unsafe", dict(batch(labels=Command())), 2)
show("objects", dict(batch(data=np.array([[None]]))), 2)
show("floats", dict(batch(data=DATA / 2.0)), 2)
if PYTHON == "python3":
    show("many", {"labels": [7] * 1001 + [300, -1, 70000]}, 4)
    show("bytes_keys", {key.encode(): value for key, value in batch().items()}, 4)
    show("unsafe", dict(batch(labels=Command())), 4)
    show("ordered", batch(), 4)
    show("batch", dict(batch()), 0)
    show("batch", dict(batch()), 5)
