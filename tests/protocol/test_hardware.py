"""Slugs of real cards, with NVML's names and memory as the cards report them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codecs import CLASS_PATTERN
from protocol.hardware import FAMILIES, HardwareClass, cpu_class, cuda_class, family_of

MIB = 1 << 20

# NVML name, total MiB, compute capability → slug, family.
CARDS = [
    ("NVIDIA H200", 143771, (9, 0), "h200-141g", "cuda-sm90"),
    ("NVIDIA H200 NVL", 143771, (9, 0), "h200-nvl-141g", "cuda-sm90"),
    ("NVIDIA H100 80GB HBM3", 81559, (9, 0), "h100-80g", "cuda-sm90"),
    ("NVIDIA H100 PCIe", 81559, (9, 0), "h100-pcie-80g", "cuda-sm90"),
    ("NVIDIA H100 NVL", 95830, (9, 0), "h100-nvl-94g", "cuda-sm90"),
    ("NVIDIA GH200 480GB", 97871, (9, 0), "gh200-96g", "cuda-sm90"),
    ("NVIDIA B200", 183359, (10, 0), "b200-180g", "cuda-sm100"),
    ("NVIDIA A100-SXM4-40GB", 40960, (8, 0), "a100-sxm4-40g", "cuda-sm80"),
    ("A100-SXM4-40GB", 40536, (8, 0), "a100-sxm4-40g", "cuda-sm80"),
    ("NVIDIA A100-SXM4-80GB", 81920, (8, 0), "a100-sxm4-80g", "cuda-sm80"),
    ("NVIDIA A100 80GB PCIe", 81920, (8, 0), "a100-pcie-80g", "cuda-sm80"),
    ("NVIDIA A100-PCIE-40GB", 40960, (8, 0), "a100-pcie-40g", "cuda-sm80"),
    ("NVIDIA A10G", 23028, (8, 6), "a10g-23g", "cuda-sm86"),
    ("NVIDIA L4", 23034, (8, 9), "l4-23g", "cuda-sm89"),
    ("NVIDIA L40S", 46068, (8, 9), "l40s-45g", "cuda-sm89"),
    ("NVIDIA RTX A6000", 49140, (8, 6), "rtx-a6000-48g", "cuda-sm86"),
    ("NVIDIA RTX 6000 Ada Generation", 49140, (8, 9), "rtx6000-ada-48g", "cuda-sm89"),
    (
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
        97887,
        (12, 0),
        "rtx-pro-6000-blackwell-server-96g",
        "cuda-sm120",
    ),
    ("NVIDIA GeForce RTX 5090", 32607, (12, 0), "rtx5090-32g", "cuda-sm120"),
    ("NVIDIA GeForce RTX 5070 Ti", 16303, (12, 0), "rtx5070-ti-16g", "cuda-sm120"),
    ("NVIDIA GeForce RTX 4090", 24564, (8, 9), "rtx4090-24g", "cuda-sm89"),
    ("NVIDIA GeForce RTX 4090 Laptop GPU", 16376, (8, 9), "rtx4090-laptop-16g", "cuda-sm89"),
    ("NVIDIA GeForce RTX 4070 Ti SUPER", 16376, (8, 9), "rtx4070-ti-super-16g", "cuda-sm89"),
    ("NVIDIA GeForce RTX 3090", 24576, (8, 6), "rtx3090-24g", "cuda-sm86"),
    ("NVIDIA GeForce RTX 3060", 12288, (8, 6), "rtx3060-12g", "cuda-sm86"),
    ("NVIDIA GeForce RTX 2080 Ti", 11264, (7, 5), "rtx2080-ti-11g", "cuda-sm75"),
    ("NVIDIA GeForce GTX 1650 with Max-Q Design", 4096, (7, 5), "gtx1650-maxq-4g", "cuda-sm75"),
    ("Quadro RTX 8000", 49152, (7, 5), "quadro-rtx8000-48g", "cuda-sm75"),
    ("NVIDIA TITAN RTX", 24576, (7, 5), "titan-rtx-24g", "cuda-sm75"),
    ("Tesla T4", 15360, (7, 5), "t4-15g", "cuda-sm75"),
    ("Tesla V100-SXM2-16GB", 16160, (7, 0), "v100-sxm2-16g", "cuda-other"),
    ("Tesla P100-PCIE-16GB", 16280, (6, 0), "p100-pcie-16g", "cuda-other"),
    ("GeForce GTX 1060 6GB", 6078, (6, 1), "gtx1060-6g", "cuda-other"),
    ("NVIDIA GeForce GTX 1080 Ti", 11178, (6, 1), "gtx1080-ti-11g", "cuda-other"),
    ("Orin (nvgpu)", 62841, (8, 7), "orin-62g", "cuda-sm87"),
    ("NVIDIA GB10", 122572, (12, 1), "gb10-120g", "cuda-other"),
]


@pytest.mark.parametrize(("name", "mib", "capability", "slug", "family"), CARDS)
def test_a_card_has_its_slug_and_family(
    name: str, mib: int, capability: tuple[int, int], slug: str, family: str
) -> None:
    found = cuda_class(name, mib * MIB, compute_capability=capability)
    assert found == HardwareClass(slug, family)
    assert family in FAMILIES
    assert family_of(slug) == family


@pytest.mark.parametrize(
    ("name", "mib", "profile", "slug"),
    [
        ("NVIDIA A100-SXM4-40GB", 40960, "3g.20gb", "a100-40g-mig-3g20g"),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", 19968, "3g.20gb", "a100-40g-mig-3g20g"),
        ("NVIDIA A100-PCIE-40GB", 40960, "MIG 1g.5gb", "a100-40g-mig-1g5g"),
        ("NVIDIA H100 80GB HBM3", 81559, "1g.10gb+me", "h100-80g-mig-1g10g-me"),
        ("NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb", 40448, "1c.3g.40gb", "h100-80g-mig-1c3g40g"),
    ],
)
def test_a_mig_slice_is_named_by_its_card_and_profile(
    name: str, mib: int, profile: str, slug: str
) -> None:
    found = cuda_class(name, mib * MIB, compute_capability=(8, 0), mig_profile=profile)
    assert found.slug == slug


def test_several_gpus_are_a_class_of_their_own() -> None:
    def of(count: int) -> str:
        name = "NVIDIA H100 80GB HBM3"
        return cuda_class(name, 81559 * MIB, compute_capability=(9, 0), count=count).slug

    assert (of(1), of(2), of(8)) == ("h100-80g", "h100-80g-x2", "h100-80g-x8")


@pytest.mark.parametrize(
    ("machine", "slug"),
    [
        ("x86_64", "cpu-x86_64"),
        ("AMD64", "cpu-x86_64"),
        ("aarch64", "cpu-aarch64"),
        ("arm64", "cpu-aarch64"),
        ("riscv64", "cpu-riscv64"),
        ("", "cpu-unknown"),
    ],
)
def test_a_cpu_is_classed_by_its_architecture(machine: str, slug: str) -> None:
    assert cpu_class(machine) == HardwareClass(slug, "cpu")


def test_families_are_a_closed_list_without_repeats() -> None:
    assert len(set(FAMILIES)) == len(FAMILIES)
    assert {"cuda-sm75", "cuda-sm120", "cuda-other", "cpu"} <= set(FAMILIES)


@given(
    st.text(max_size=80),
    st.integers(0, 1 << 40),
    st.tuples(st.integers(0, 99), st.integers(0, 99)),
    st.none() | st.text(max_size=30),
    st.integers(1, 4096),
)
def test_any_probe_has_a_slug_that_a_record_accepts(
    name: str, memory: int, capability: tuple[int, int], profile: str | None, count: int
) -> None:
    found = cuda_class(
        name, memory, compute_capability=capability, mig_profile=profile, count=count
    )
    assert re.fullmatch(CLASS_PATTERN, found.slug)
    assert found.family in FAMILIES


@given(st.text(max_size=80))
def test_any_machine_has_a_slug_that_a_record_accepts(machine: str) -> None:
    assert re.fullmatch(CLASS_PATTERN, cpu_class(machine).slug)


@given(st.from_regex(CLASS_PATTERN, fullmatch=True))
def test_every_class_that_a_record_may_name_has_a_family(slug: str) -> None:
    assert family_of(slug) in FAMILIES


@pytest.mark.parametrize(
    ("slug", "family"),
    [
        ("cpu-x86_64", "cpu"),
        ("cpu", "cpu"),
        ("cpux", "cuda-other"),
        ("a100-40g-mig-3g20g", "cuda-sm80"),
        ("h100-80g-x8", "cuda-sm90"),
        ("rtx5000-ada-32g", "cuda-sm89"),
        ("rtx4000-sff-ada-20g", "cuda-sm89"),
        ("mi300x-192g", "cuda-other"),
    ],
)
def test_a_family_follows_from_the_slug_alone(slug: str, family: str) -> None:
    assert family_of(slug) == family
