"""The configuration keys of torchreid's scripts/default_config.py. This module imports nothing, because shell completion uses it."""


def keys_of(sections: dict[str, str]) -> list[str]:
    """Joins the names of sections and keys, as in `train.lr`."""
    return [f"{section}.{name}" for section, names in sections.items() for name in names.split()]


# Keys that this package has too.
SHARED_KEYS = keys_of(
    {
        "model": "name pretrained load_weights resume",
        "data": "type root sources targets workers split_id height width combineall transforms norm_mean norm_std save_dir",
        "sampler": "num_instances",
        "train": "optim lr weight_decay max_epoch start_epoch batch_size fixbase_epoch open_layers staged_lr new_layers "
        "base_lr_mult lr_scheduler stepsize gamma print_freq seed",
        "sgd": "momentum dampening nesterov",
        "rmsprop": "alpha",
        "adam": "beta1 beta2",
        "loss": "name",
        "loss.softmax": "label_smooth",
        "loss.triplet": "margin weight_t weight_x",
        "test": "batch_size dist_metric normalize_feature evaluate eval_freq start_eval rerank visrank visrank_topk",
    }
)
TORCHREID_KEYS = {
    "use_gpu",
    *SHARED_KEYS,
    *keys_of(
        {
            "data": "k_tfm load_train_targets",
            "market1501": "use_500k_distractors",
            "cuhk03": "labeled_images classic_split use_metric_cuhk03",
            "sampler": "train_sampler train_sampler_t num_cams num_datasets",
            "video": "seq_len sample_method pooling_method",
            "test": "ranks",
        }
    ),
}
