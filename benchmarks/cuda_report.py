"""What the CUDA path does on the device that is found: every kernel against its floor, transfers, the targets.

    python benchmarks/cuda_report.py [--lrf FOLDER_OF_LRF] [--quick] [--decoding]

A kernel's floor is the longest of its bytes at the copy bandwidth and its operations at the rate of multiply-adds (for
the baseline of bytes in the tensor cores' matrices or four in a dot product, and of float32, for the main profile of
int32), all measured in the same run. Times are CUDA events' around many launches in a row, the median of several such
rounds; inputs are rotated through more memory than the L2 cache holds. Transfers are counted separately.
"First call" are seconds of a process of its own, imports included: on the GPU with an empty folder for machine code,
again with what the process before has left there, and on the CPU with its kernels cached.
With the folder of a clone of pashtari/lrf, and PyTorch, its factorization is timed on the same device.
Without a device nothing is measured. In the simulator (NUMBA_ENABLE_CUDASIM=1) everything runs on tiny inputs, to see
that it does, and prints no times.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import device_decode
import device_main
import numpy as np
from device_rows import Rows, Sizes, pictures

import imfnb
from imfnb.runtime.cuda import SIMULATED, cuda
from imfnb.runtime.devices import cuda_status, resolve_threads
from imfnb.runtime.run import HostRun

RANKS = (5, 2, 2)
BOUNDS = (-16, 15)
SWEEPS = 1 if SIMULATED else 10

#: Prints the seconds that its first call takes: imports, and a matrix factorized or a picture encoded and decoded.
FIRST_CALL = """
import sys, time
start = time.perf_counter()
import numpy as np, imfnb
x, device = np.load(sys.argv[1]), sys.argv[2]
if x.ndim == 2:
    imfnb.factorize(x, 5, (-16, 15), device=device)
else:
    imfnb.decode(imfnb.encode(x, device=device), device=device)
print(time.perf_counter() - start)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lrf", help="folder of a clone of pashtari/lrf, to be timed on the same device")
    parser.add_argument("--quick", action="store_true", help="a smaller batch and fewer rounds")
    parser.add_argument("--decoding", action="store_true", help="only from bytes to pixels, some minutes less")
    arguments = parser.parse_args()
    status = cuda_status()
    if status.startswith("not found"):
        print(f"no CUDA device: nothing measured ({status})")
        return
    sizes = Sizes()
    if SIMULATED:
        sizes = Sizes((8, 9), (8, 8), batch=2, words=64, turns=1, launches=1, rounds=1)
    elif arguments.quick:
        sizes = replace(sizes, batch=64, rounds=3)
    print(f"CUDA {status}; imfnb {imfnb.__version__}; {resolve_threads(None)} CPU threads")
    if SIMULATED:
        print("simulated: no times, only that everything runs")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Grid size .* occupancy")
        if arguments.decoding:
            device_decode.decode_rows(Rows(sizes))
        else:
            Report(sizes).run(arguments.lrf)


class Report(Rows):
    """One run; the peaks of the device are measured first."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.rng = np.random.default_rng(0)

    # --------------------------------------------------------------------------------------------------------- report

    def run(self, lrf: str | None) -> None:
        self.peaks()
        self.transfers()
        large, kodak = self.sizes.large, self.sizes.kodak
        for title, count, shape in (("one image", 1, large), ("a batch", self.sizes.batch, kodak)):
            print(f"\nkernels of the baseline, {title}: {count} x {shape[0]} x {shape[1]}")
            self.stages(count, shape)
            print(f"\nkernels of the main profile, {title}: {count} x {shape[0]} x {shape[1]}")
            device_main.kernel_rows(self, count, shape)
        self.targets()
        device_main.target_rows(self)
        device_decode.decode_rows(self)
        self.rival(lrf)
        self.first_calls()
        self.crossover()

    def transfers(self) -> None:
        """The way there and back, pinned and not; in no other figure unless it says so."""
        height, width = self.sizes.large
        shape = (height, width, 3)
        plain = self.rng.integers(0, 256, shape, np.uint8)
        pinned = cuda.pinned_array(shape, np.uint8)
        pinned[...] = plain
        device, stream = cuda.device_array(shape, np.uint8), cuda.stream()
        print(f"\ntransfers, {plain.nbytes / 1e6:.1f} MB")
        for name, host in (("pinned", pinned), ("pageable", plain)):
            for direction, move in (("to", device.copy_to_device), ("from", device.copy_to_host)):

                def work(move: Callable = move, host: np.ndarray = host) -> None:
                    move(host, stream=stream)
                    stream.synchronize()

                seconds = self.wall(work)
                rate = "ran" if SIMULATED else f"{seconds * 1e3:8.2f} ms {plain.nbytes / seconds / 1e9:7.1f} GB/s"
                print(f"  {name:9s} {direction:5s} the device {rate}")

    def device_images(self, count: int, shape: tuple[int, int]) -> list[Any]:
        """Random images on the device, several to rotate through: nothing here depends on what they show."""
        nbytes = count * shape[0] * shape[1] * 3
        image = self.rng.integers(0, 256, (count, *shape, 3), np.uint8)
        return [cuda.to_device(np.roll(image, i, axis=2)) for i in range(self.copies(nbytes))]

    def stages(self, count: int, shape: tuple[int, int]) -> None:
        """Every kernel of the baseline profile on luma, colour on everything."""
        from imfnb.color import cuda as color
        from imfnb.factorization.bcd import cuda as general
        from imfnb.factorization.bcd import cuda_bytes as kernels
        from imfnb.factorization.init import cuda as first
        from imfnb.patches import cuda as patches

        height, width = shape
        pixels = count * height * width
        half = (height + 1) // 2, (width + 1) // 2
        images = self.device_images(count, shape)
        n = len(images)

        def empty(*sides: int, dtype: Any = np.uint8) -> list[Any]:
            return [cuda.device_array(sides, dtype) for _ in range(n)]

        y, cb, cr = empty(count, *shape), empty(count, *half), empty(count, *half)
        to_planes = self.seconds(lambda i: color.rgb_to_ycbcr(images[i], y[i], cb[i], cr[i]), n)
        self.row("color.rgb_to_ycbcr 4:2:0", to_planes, 4.5 * pixels, 14 * pixels, "int32")
        to_image = self.seconds(lambda i: color.ycbcr_to_rgb(y[i], cb[i], cr[i], images[i]), n)
        self.row("color.ycbcr_to_rgb 4:2:0", to_image, 4.5 * pixels, 12 * pixels, "int32")
        m = -(-height // 8) * -(-width // 8)
        stride = patches.padded(m)
        xt = empty(count, 64, stride)
        cut = self.seconds(lambda i: patches.patchify(y[i], 8, 8, xt[i]), n)
        self.row("patches.patchify", cut, 2 * pixels, 0)
        squares = empty(count, 64, 64, dtype=np.float64)
        gram = self.seconds(lambda i: kernels.gram(xt[i], m, squares[i]), n)
        self.row("factorization.gram", gram, count * 64 * m, count * 64 * 64 * m, "matrices")
        matrix = cuda.to_device(self.grams(count, shape))
        for rank in RANKS[:1] if SIMULATED else (RANKS[0], 20):
            state = [self.start(count, 64, stride, rank) for _ in range(n)]
            begin = self.seconds(lambda i, state=state, rank=rank: first.start_v(matrix, rank, *BOUNDS, state[i][0]), n)
            self.row(f"factorization.init R={rank} (waits, no floor)", begin, count * 64 * 64 * 8, 0)
            words = [(x.view(np.uint32), ut.view(np.uint32)) for x, (_, ut, _, _) in zip(xt, state, strict=True)]

            def sweep(i: int, state: list[Any] = state, words: list[Any] = words) -> None:
                v, _, sums, tickets = state[i]
                kernels.sweep(words[i][0], v, words[i][1], sums, tickets, m, *BOUNDS)

            self.row(f"factorization.sweep R={rank}", self.seconds(sweep, n), *sweep_work(count, m, 64, rank))

            def update_u(i: int, state: list[Any] = state) -> None:
                v, ut, _, _ = state[i]
                general.update_u(xt[i], v, ut, m, -16.0, 15.0, HostRun("cpu", 1).each)

            if count == 1:
                nbytes, operations = sweep_work(count, m, 64, rank)
                seconds = self.seconds(update_u, n)
                self.row(f"factorization.update_u R={rank} (any bounds)", seconds, nbytes, operations)
            ut8 = [ut for _, ut, _, _ in state]
            vt8 = cuda.to_device(self.rng.integers(*BOUNDS, (count, rank, 64)).astype(np.int8))
            joined = self.seconds(
                lambda i, ut8=ut8, vt8=vt8, rank=rank: patches.depatchify(ut8[i], vt8, rank, 8, 8, y[i], 16), n
            )
            self.row(f"patches.depatchify R={rank}", joined, pixels * (1 + rank / 64), pixels * rank, "bytes")

    def grams(self, count: int, shape: tuple[int, int]) -> np.ndarray:
        """Gram matrices of pictures, since how long the start takes depends on them."""
        x = self.luma(min(8, count), shape).astype(np.float64)
        return np.resize(x.transpose(0, 2, 1) @ x, (count, 64, 64))

    def start(self, count: int, pixels: int, stride: int, rank: int) -> tuple[Any, Any, Any, Any]:
        """V, U^T and zeros to start a descent from."""
        v = self.rng.integers(*BOUNDS, (count, pixels, rank)).astype(np.float64)
        ut = cuda.to_device(np.zeros((count, rank, stride), np.int8))
        sums = cuda.to_device(np.zeros((count, pixels + rank, rank), np.int64))
        return cuda.to_device(v), ut, sums, cuda.to_device(np.zeros(count, np.int32))

    # -------------------------------------------------------------------------------------------------------- targets

    def descent(self, count: int, shape: tuple[int, int]) -> tuple[float, float, str]:
        """Seconds of ten sweeps over all three planes, data resident; the floor, and what binds it."""
        from imfnb.factorization.bcd import cuda_bytes as kernels
        from imfnb.patches.cuda import padded

        planes = []
        half = (shape[0] + 1) // 2, (shape[1] + 1) // 2
        nbytes, operations = 0.0, {"matrices": 0.0, "float32": 0.0}
        for rank, (height, width), matrices in ((RANKS[0], shape, count), (RANKS[1], half, 2 * count)):
            m = -(-height // 8) * -(-width // 8)
            xt = self.rng.integers(0, 256, (matrices, 64, padded(m)), np.uint8)
            copies = [cuda.to_device(np.roll(xt, i)).view(np.uint32) for i in range(self.copies(xt.nbytes))]
            v, ut, sums, tickets = self.start(matrices, 64, padded(m), rank)
            planes.append((m, copies, v, ut.view(np.uint32), sums, tickets))
            work = sweep_work(matrices, m, 64, rank)
            nbytes += SWEEPS * work[0]
            operations = {kind: operations[kind] + SWEEPS * amount for kind, amount in work[1].items()}

        def ten_sweeps(i: int) -> None:
            for m, copies, v, words, sums, tickets in planes:
                kernels.sweep(copies[i % len(copies)], v, words, sums, tickets, m, *BOUNDS, SWEEPS)

        seconds = self.seconds(ten_sweeps, max(len(copies) for _, copies, *_ in planes))
        return seconds, *self.floor(nbytes, operations)

    def targets(self) -> None:
        """The rows that the project has promised to reach on an H200."""
        print(f"\ntargets (baseline, R = {RANKS}, {SWEEPS} sweeps)")
        large, kodak, count = self.sizes.large, self.sizes.kodak, self.sizes.batch
        seconds, floor, bound = self.descent(1, large)
        launches = 2 * (self.launch + (SWEEPS - 1) * self.again)  # Cb and Cr go together
        self.target(
            f"12 MP resident: {seconds * 1e6:.0f} us, floor {floor * 1e6:.0f} us ({bound}), "
            f"launches {launches * 1e6:.0f} us",
            f"{(seconds - launches) / floor:.2f}x the floor plus launches",
            (seconds - launches) / floor <= 4,
            "at most 4x",
        )
        seconds, floor, bound = self.descent(count, kodak)
        self.target(
            f"{count} Kodak-size images resident: {seconds * 1e3:.2f} ms, floor {floor * 1e3:.2f} ms ({bound})",
            f"{100 * floor / seconds:.0f}% of what binds",
            floor / seconds >= 0.6,
            "at least 60%",
        )
        x = self.luma(count, kodak)
        here = self.wall(lambda: imfnb.factorize(x, RANKS[0], BOUNDS, SWEEPS, device="cuda"))
        few = x[: max(1, count // 8)]
        cpu = self.wall(lambda: self.on_two_cores(few)) * len(x) / len(few)
        self.target(
            f"{count} factorizations of luma, start and transfers included: {here * 1e3:.1f} ms; two cores, "
            f"extrapolated from {len(few)} of the {len(x)}: {cpu * 1e3:.0f} ms",
            f"{cpu / here:.1f}x the two-core CPU path",
            cpu / here >= 50,
            "at least 50x",
        )

    def luma(self, count: int, shape: tuple[int, int]) -> np.ndarray:
        """Patch matrices (B, M, 64) of the green of pictures, eight of them over and over."""
        from imfnb.patches import cpu, patch_matrix

        matrices = [patch_matrix(cpu, picture[:, :, 1], 8) for picture in pictures(min(8, count), shape)]
        return np.ascontiguousarray(np.stack([matrices[i % len(matrices)] for i in range(count)]))

    def on_two_cores(self, x: np.ndarray) -> None:
        """The CPU path at its best: a matrix to each thread."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda one: imfnb.factorize(one, RANKS[0], BOUNDS, SWEEPS, device="cpu", threads=1), x))

    # ------------------------------------------------------------------------------------------------------ crossover

    def crossover(self) -> None:
        """From how many pixels on the GPU is faster, once all is compiled; see imfnb.runtime.devices.CROSSOVER."""
        height, width = self.sizes.kodak
        scales, counts = ((1,), (1, 2)) if SIMULATED else ((0.5, 1, 2, 4, 5.5), (1, 4, 16, 64, self.sizes.batch))
        print("\nhost to host, CPU on all threads against CUDA, ms: factorize, R = 5")
        shapes = [(round(height * scale), round(width * scale)) for scale in scales]
        self.compare("matrix", [(h * w, self.factorizations(self.luma(1, (h, w))[0])) for h, w in shapes])
        stack = self.luma(counts[-1], self.sizes.kodak)
        self.compare("matrices", [(n * height * width, self.factorizations(stack[:n])) for n in counts])
        for profile, options in (("baseline", {"rank": RANKS, "iterations": SWEEPS}), ("main", {"quality": 50})):
            print(f"\nhost to host, CPU on all threads against CUDA, ms, encode and decode: {profile}, {options}")
            many = counts if profile == "baseline" else counts[:-1]
            singles = [pictures(1, shape) for shape in shapes]
            self.compare("image", [(one.size // 3, self.codec(list(one), profile, options)) for one in singles])
            few = list(pictures(min(8, many[-1]), (height, width)))
            batches = [(n, (few * n)[:n]) for n in many]
            self.compare("batch", [(n * height * width, self.codec(x, profile, options)) for n, x in batches])

    def compare(self, name: str, rows: Sequence[tuple[int, Sequence[tuple[float, float]]]]) -> None:
        """Print pixels and pairs of seconds on the CPU and on the GPU, and from where on the GPU wins all of them."""
        above = None
        for pixels, pairs in reversed(rows):
            if any(gpu >= cpu for cpu, gpu in pairs):
                break
            above = pixels
        for pixels, pairs in rows if not SIMULATED else ():
            times = "   ".join(f"{1e3 * cpu:9.2f} {1e3 * gpu:9.2f}" for cpu, gpu in pairs)
            print(f"  {name:9s} {pixels / 1e6:8.2f} MP  {times}")
        print(f"  {name}: faster from {'(not measured in the simulator)' if SIMULATED else above} pixels on")

    def factorizations(self, x: np.ndarray) -> list[tuple[float, float]]:
        """Seconds of `factorize` on the CPU and on the GPU."""
        cpu, gpu = (
            self.wall(lambda device=device: imfnb.factorize(x, RANKS[0], BOUNDS, SWEEPS, device=device))
            for device in ("cpu", "cuda")
        )
        return [(cpu, gpu)]

    def codec(self, images: Sequence[np.ndarray], profile: str, options: dict[str, Any]) -> list[tuple[float, float]]:
        """Seconds of encoding and of decoding on the CPU and on the GPU."""
        times = []
        for device in ("cpu", "cuda"):
            encode, decode, what = imfnb.encode_batch, imfnb.decode_batch, images
            if len(images) == 1:  # with all threads, where a batch has one for each image
                encode, decode, what = imfnb.encode, imfnb.decode, images[0]
            to_files = functools.partial(encode, what, profile=profile, device=device, **options)
            times.append((self.wall(to_files), self.wall(functools.partial(decode, to_files(), device=device))))
        return list(zip(*times, strict=True))

    def first_calls(self) -> None:
        """What a fresh process waits for, with and without machine code on disk."""
        print("\nfirst call in a process, imports included, s: CUDA with only what the rows above compiled, CUDA, CPU")
        if SIMULATED:
            print("  not measured in the simulator")
            return
        height, width = self.sizes.kodak
        work = {"factorize 4096 x 64, R = 5": self.rng.integers(0, 256, (4096, 64), np.uint8)}
        for scale in (1, 2, 5.5):
            shape = round(height * scale), round(width * scale)
            work[f"main, encode and decode {shape[0]} x {shape[1]}"] = pictures(1, shape)[0]
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": os.pathsep.join(sys.path)}
            path = os.path.join(folder, "x.npy")

            def seconds(device: str) -> float:
                command = [sys.executable, "-c", FIRST_CALL, path, device]
                return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)

            for name, x in work.items():
                np.save(path, x)
                nothing = seconds("cuda")  # but what smaller ones have left
                seconds("cpu")
                print(f"  {name:40s} {nothing:8.2f} {seconds('cuda'):8.2f} {seconds('cpu'):8.2f}")

    # ---------------------------------------------------------------------------------------------------------- rival

    def rival(self, folder: str | None) -> None:
        """The paper's own code on the same device, with TF32 and its `w` step off, as its codec runs it.

        Both find their start and make ten sweeps. "Resident": X and the factors are on the device. "Host to host": they
        are NumPy arrays.
        """
        print("\npashtari/lrf on the same device")
        if folder is None:
            print("  not compared: give --lrf FOLDER")
            return
        sys.path.insert(0, folder)
        try:
            import torch
            from lrf.factorization import QMF
        except ImportError as error:
            print(f"  not compared: {error}")
            return
        if not torch.cuda.is_available():
            print("  not compared: PyTorch finds no CUDA device")
            return
        for title, count, wanted in (("one image", 1, 10), ("a batch", self.sizes.batch, 30)):
            x = self.luma(count, self.sizes.kodak)
            there = torch.from_numpy(x).cuda()
            model = QMF(RANKS[0], num_iters=SWEEPS, bounds=BOUNDS, factor=(0, 1))

            def resident(model: Any = model, there: Any = there) -> None:
                with torch.inference_mode():
                    model.decompose(there)
                torch.cuda.synchronize()

            def to_host(model: Any = model, x: np.ndarray = x) -> None:
                with torch.inference_mode():
                    for factor in model.decompose(torch.from_numpy(x).cuda()):
                        factor.cpu()

            def ours(x: np.ndarray = x) -> None:
                imfnb.factorize(x, RANKS[0], BOUNDS, SWEEPS, device="cuda")

            for what, theirs, seconds in (
                ("resident", self.wall(resident), self.resident(x)),
                ("host to host", self.wall(to_host), self.wall(ours)),
            ):
                self.target(
                    f"{title}, {what}: lrf {theirs * 1e3:.2f} ms, imfnb {seconds * 1e3:.2f} ms",
                    f"{theirs / seconds:.1f}x faster",
                    theirs / seconds >= wanted,
                    f"at least {wanted}x",
                )

    def resident(self, x: np.ndarray) -> float:
        """Seconds of our factorization with X^T on the device, as a pipeline calls it."""
        from imfnb.factorization.bcd import descend
        from imfnb.patches.cuda import padded
        from imfnb.runtime.gpu import DeviceRun
        from imfnb.runtime.memory import borrowed

        xt = np.zeros((len(x), x.shape[2], padded(x.shape[1])), np.uint8)
        xt[:, :, : x.shape[1]] = x.transpose(0, 2, 1)
        there = cuda.to_device(xt)
        with ThreadPoolExecutor(resolve_threads(None)) as pool, borrowed(1) as slot:
            run = DeviceRun(slot, pool)
            return self.wall(lambda: run.drive(descend(there, x.shape[1], RANKS[0], BOUNDS, SWEEPS, run)))


def sweep_work(count: int, patches: int, pixels: int, rank: int) -> tuple[float, dict[str, float]]:
    """Bytes and multiply-adds of a sweep: X once, U in and out; X V, X^T U and the upper U^T U; the update."""
    items = count * patches
    products = 2 * pixels * rank + rank * (rank + 1) / 2
    return items * (pixels + 2 * rank), {"matrices": items * products, "float32": items * rank * (rank - 1)}


if __name__ == "__main__":
    main()
