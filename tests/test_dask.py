"""Batches on a cluster: Dask's executor, an optional extra."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import picture

import imfnb

reason = "dask.distributed is not installed (pip install imfnb[dask])"
distributed = pytest.importorskip("dask.distributed", reason=reason)

pytestmark = pytest.mark.jit


@pytest.mark.filterwarnings("ignore")
def test_two_workers():
    images = [picture(20 + i, 24, 3) for i in range(4)]
    options = {"profile": "baseline", "rank": 2}
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        files = imfnb.encode_batch(images, client.get_executor(), **options)
        decoded = imfnb.decode_batch(files, client.get_executor())
        streamed = list(imfnb.encode_iter(iter(images), client.get_executor(), threads=1, **options))
        (error,) = imfnb.decode_batch([files[0][:-1]], client.get_executor(), errors="return")
        with pytest.raises(imfnb.OptionError, match=r"expected a Future of concurrent.futures .*get_executor"):
            imfnb.encode_batch(images, client, **options)
    assert files == streamed == [imfnb.encode(image, **options) for image in images]
    assert isinstance(error, imfnb.FormatError) and str(error).startswith("files[0]: truncated")
    np.testing.assert_array_equal(decoded[2], imfnb.decode(files[2]))
