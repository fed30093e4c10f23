"""Testing: features of every test image, scored by the protocol of their data set."""

import dataclasses
import logging
import os.path as osp
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from torchreid_rgbir import distributed, terminal
from torchreid_rgbir.data.corrupted_images import Corruption
from torchreid_rgbir.data.cross_modal import Item, with_labels
from torchreid_rgbir.engine import monitor
from torchreid_rgbir.engine.corrupted_test import corrupted_settings
from torchreid_rgbir.engine.resumable import ResumableEngine
from torchreid_rgbir.metrics import Rerank, TestFeatures, report
from torchreid_rgbir.modality import RGB
from torchreid_rgbir.models.embedding import embed
from torchreid_rgbir.protocols.ranked_lists import ranked_lists
from torchreid_rgbir.terminal import progress
from torchreid_rgbir.visual.ranked import draw_ranked, save_picture

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class EvalOptions:
    """How a model is tested. The defaults are the patent's.

    Attributes:
        query: the modality of the queries, "ir" or "rgb"; the first one, where a protocol has both directions.
        sampling: how SYSU-MM01's galleries are sampled, "official" or "agw".
        feature: "bn", after batch normalization, or "pooled", before it.
        flip: add the feature of the mirrored image.
        rerank: also score with k-reciprocal re-ranking, in separate rows.
        corruption: also score with corrupted images, in separate rows.
    """

    query: str = "ir"
    sampling: str = "official"
    feature: str = "bn"
    flip: bool = False
    rerank: Rerank | None = None
    corruption: Corruption | None = None


class EvaluatingEngine(ResumableEngine):
    """An engine whose test is the protocol of each test set. A subclass says how an epoch is trained.

    Args:
        *args, **options: of ResumableEngine.
        eval_options: how the model is scored.

    Attributes:
        features: data set -> the features of its last test.

    Raises:
        ValueError, FileNotFoundError: a protocol cannot score its data set.
    """

    def __init__(self, *args: Any, eval_options: EvalOptions | None = None, **options: Any):
        super().__init__(*args, **options)
        self.device = torch.device("cuda" if self.use_gpu else "cpu")
        self.eval_options = eval_options or EvalOptions()
        self.features: dict[str, TestFeatures] = {}
        for loaders in self.test_loader.values():
            # What would fail in the test fails before the training. Galleries are drawn, and nothing is ranked.
            dataset = loaders["query"].dataset
            labels, protocol = dataset.test_labels(), dataset.protocol
            protocol.check(labels, query=self.eval_options.query, sampling=self.eval_options.sampling)

    def extract_features(self, input: Tensor, modality: int = RGB) -> Tensor:
        """Normalized images (B, 3, H, W) of one modality to features (B, D)."""
        return embed(self.eval_model, input, modality, self.eval_options.feature, self.eval_options.flip)

    @torch.no_grad()
    def extract(self, loaders: Sequence[DataLoader]) -> TestFeatures:
        """The features of all images in order, from loaders of one modality each with this process's share of them."""
        distributed.share_buffers(self.eval_model)
        parts: list[Tensor] = []
        items: list[Item] = []
        for loader in loaders:
            dataset: Any = loader.dataset
            items += dataset.data
            modality = items[-1].modality
            features = []
            for data in progress(loader, "extracting features", unit="batch", shown=distributed.rank() == 0):
                images, _, _ = self.parse_data_for_eval(data)
                images = self.datamanager.transforms.normalize(images.to(self.device, non_blocking=True))
                features.append(self.extract_features(images, modality).float())
            parts.append(distributed.gather_rows(features))
        return with_labels(torch.cat(parts).numpy(), items)

    def _evaluate(
        self,
        dataset_name: str = "",
        *,
        query_loader: DataLoader,
        gallery_loader: DataLoader,
        dist_metric: str = "cosine",
        normalize_feature: bool = False,
        visrank: bool = False,
        visrank_topk: int = 10,
        save_dir: str = "",
        use_metric_cuhk03: bool = False,
        ranks: Sequence[int] = (),
        rerank: bool = False,
    ) -> tuple[float, float]:
        """Called by torchreid's `test`: extracts features once, then scores every setting of the data set's protocol.

        Returns:
            Rank-1 and mAP of the protocol's first setting, as fractions.
        """
        loaders = [query_loader, gallery_loader]

        def extract(loaders: Sequence[DataLoader]) -> TestFeatures:
            features = self.extract(loaders)
            if normalize_feature:
                unit = F.normalize(torch.from_numpy(features.features)).numpy()
                features = dataclasses.replace(features, features=unit)
            return features

        features = extract(loaders)
        protocol: Any = query_loader.dataset.protocol  # type: ignore[attr-defined]
        options = self.eval_options
        # Re-ranking and corrupted images take longer than everything else together, so they wait for the last test.
        is_last = self.epoch + 1 >= getattr(self, "max_epoch", 0)
        chosen = {"query": options.query, "distance": dist_metric, "sampling": options.sampling}

        def score(features: TestFeatures) -> list[dict]:
            rerank = options.rerank if is_last else None
            return distributed.broadcast_from_rank0(lambda: protocol.score(features, **chosen, rerank=rerank))

        settings = score(features)
        if options.corruption and is_last:
            settings = settings + corrupted_settings(options.corruption, loaders, features, extract, score)
        made: dict[str, Any] = {"distance": dist_metric, "flip": options.flip, "normalize_feature": normalize_feature}
        results = report.results(dataset_name, settings, query=options.query, feature=options.feature, **made)
        self.features[dataset_name], self.results[dataset_name] = features, results
        table = report.terminal_table(results, terminal.width(sys.stdout))
        logger.info("%s\n\n%s", table, report.torchreid_line(results))
        if visrank and distributed.rank() == 0:
            path = osp.join(save_dir, f"visrank_{dataset_name}", "ranked.png")
            lists = ranked_lists(features, options.query, protocol.ignored, dist_metric, visrank_topk)
            save_picture(draw_ranked(lists, f"{dataset_name}, {options.query} queries"), path)
            logger.info("ranked results saved to %s", path)
        mean = settings[0]["mean"]
        if len(self.results) == 1 and mean["mAP"] < self.best_mAP / 2:
            noise = np.random.default_rng(0).standard_normal(features.features.shape).astype(np.float32)
            chance = protocol.score(dataclasses.replace(features, features=noise), **chosen)
            monitor.warn_of_chance(mean["mAP"], self.best_mAP, chance[0]["mean"]["mAP"])
        return mean["rank1"], mean["mAP"]
