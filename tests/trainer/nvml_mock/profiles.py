"""Cards of several models as their drivers report them."""

from dataclasses import replace

from tests.trainer.nvml_mock.machine import Profile

A100 = Profile(
    name="NVIDIA A100-SXM4-80GB",
    mib=81920,
    capability=(8, 0),
    watts=(400, 400, 100, 400),
    sm_mhz=1410,
    memory_mhz=1593,
    cores=6912,
    slices=(),
)
A100_SLICES = replace(
    A100,
    is_divided=True,
    slices=(
        ("NVIDIA A100-SXM4-80GB MIG 3g.40gb", 40192, 3),
        ("NVIDIA A100-SXM4-80GB", 9728, 1),  # an older driver does not report the profile
    ),
)
H100 = Profile(
    name="NVIDIA H100 80GB HBM3",
    mib=81559,
    capability=(9, 0),
    watts=(700, 700, 200, 700),
    sm_mhz=1980,
    memory_mhz=2619,
    cores=16896,
    slices=(),
)
B200 = Profile(
    name="NVIDIA B200",
    mib=183359,
    capability=(10, 0),
    watts=(1000, 1000, 200, 1000),
    sm_mhz=1965,
    memory_mhz=3996,
    cores=18944,
    slices=(),
)
L40S = Profile(
    name="NVIDIA L40S",
    mib=46068,
    capability=(8, 9),
    watts=(350, 350, 100, 350),
    sm_mhz=2520,
    memory_mhz=9001,
    cores=18176,
)
T4 = Profile(
    name="Tesla T4",
    mib=15360,
    capability=(7, 5),
    watts=(70, 70, 60, 70),
    sm_mhz=1590,
    memory_mhz=5001,
    cores=2560,
)
RTX4090 = Profile(
    name="NVIDIA GeForce RTX 4090",
    mib=24564,
    capability=(8, 9),
    watts=(320, 450, 10, 600),
    sm_mhz=3105,
    memory_mhz=10501,
    cores=16384,
)
LAPTOP = Profile(
    name="NVIDIA GeForce RTX 3060 Laptop GPU",
    mib=6144,
    capability=(8, 6),
    watts=None,
    sm_mhz=2100,
    memory_mhz=7001,
    cores=3840,
)
LAPTOP_WITH_LIMITS = Profile(
    name="NVIDIA GeForce RTX 4070 Laptop GPU",
    mib=8188,
    capability=(8, 9),
    watts=(55, 55, 5, 115),
    sm_mhz=3105,
    memory_mhz=8001,
    cores=4608,
)
WSL2 = Profile(
    name="NVIDIA GeForce RTX 3070",
    mib=8192,
    capability=(8, 6),
    watts=None,
    sm_mhz=None,
    memory_mhz=None,
    cores=None,
    minor=None,
)
