"""What torchreid's scripts/main.py asks of torchreid, call by call, under the names of a GitHub checkout; it knows nothing of the plugin."""

import argparse
import os
import sys

import torch
import torchreid
from default_config import get_default_config
from torchreid.utils import (
    Logger,
    check_isfile,
    compute_model_complexity,
    load_pretrained_weights,
    resume_from_checkpoint,
    set_random_seed,
)


def data_manager(cfg):
    data, sampler = cfg.data, cfg.sampler
    shared = {key: data[key] for key in ("root", "sources", "targets", "height", "width", "transforms", "norm_mean")}
    shared |= {key: data[key] for key in ("norm_std", "split_id", "combineall", "workers")}
    shared |= {key: sampler[key] for key in ("num_instances", "num_cams", "num_datasets", "train_sampler")}
    shared |= {
        "use_gpu": cfg.use_gpu,
        "batch_size_train": cfg.train.batch_size,
        "batch_size_test": cfg.test.batch_size,
    }
    if data.type == "video":
        return torchreid.data.VideoDataManager(
            **shared, seq_len=cfg.video.seq_len, sample_method=cfg.video.sample_method
        )
    return torchreid.data.ImageDataManager(
        **shared,
        k_tfm=data.k_tfm,
        load_train_targets=data.load_train_targets,
        train_sampler_t=sampler.train_sampler_t,
        cuhk03_labeled=cfg.cuhk03.labeled_images,
        cuhk03_classic_split=cfg.cuhk03.classic_split,
        market1501_500k=cfg.market1501.use_500k_distractors,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config-file", default="")
    for flag in ("-s/--sources", "-t/--targets", "--transforms"):
        parser.add_argument(*flag.split("/"), nargs="+")
    parser.add_argument("--root", default="")
    parser.add_argument("opts", nargs=argparse.REMAINDER)
    args = parser.parse_args()

    cfg = get_default_config()
    cfg.use_gpu = torch.cuda.is_available()
    if args.config_file:
        cfg.merge_from_file(args.config_file)
    for key in ("sources", "targets", "transforms", "root"):
        if getattr(args, key):
            cfg.data[key] = getattr(args, key)
    cfg.merge_from_list(args.opts)
    set_random_seed(cfg.train.seed)
    sys.stdout = Logger(os.path.join(cfg.data.save_dir, "test.log" if cfg.test.evaluate else "train.log"))

    datamanager = data_manager(cfg)
    model = torchreid.models.build_model(
        name=cfg.model.name,
        num_classes=datamanager.num_train_pids,
        loss=cfg.loss.name,
        pretrained=cfg.model.pretrained,
        use_gpu=cfg.use_gpu,
    )
    num_params, flops = compute_model_complexity(model, (1, 3, cfg.data.height, cfg.data.width))
    print(f"params={num_params} flops={flops}")
    if cfg.model.load_weights and check_isfile(cfg.model.load_weights):
        load_pretrained_weights(model, cfg.model.load_weights)
    model = torch.nn.DataParallel(model)  # upstream: on a GPU only; on the CPU it hands through
    if cfg.use_gpu:
        model = model.cuda()

    optimizer = torchreid.optim.build_optimizer(
        model,
        **{key: cfg.train[key] for key in ("optim", "lr", "weight_decay", "staged_lr", "new_layers", "base_lr_mult")},
        momentum=cfg.sgd.momentum,
        sgd_dampening=cfg.sgd.dampening,
        sgd_nesterov=cfg.sgd.nesterov,
        rmsprop_alpha=cfg.rmsprop.alpha,
        adam_beta1=cfg.adam.beta1,
        adam_beta2=cfg.adam.beta2,
    )
    scheduler = torchreid.optim.build_lr_scheduler(
        optimizer, **{key: cfg.train[key] for key in ("lr_scheduler", "stepsize", "gamma", "max_epoch")}
    )
    if cfg.model.resume and check_isfile(cfg.model.resume):
        cfg.train.start_epoch = resume_from_checkpoint(
            cfg.model.resume, model, optimizer=optimizer, scheduler=scheduler
        )

    shared = {"optimizer": optimizer, "scheduler": scheduler, "use_gpu": cfg.use_gpu}
    shared |= {"label_smooth": cfg.loss.softmax.label_smooth}
    if cfg.loss.name == "softmax":
        engine = torchreid.engine.ImageSoftmaxEngine(datamanager, model, **shared)
    else:
        engine = torchreid.engine.ImageTripletEngine(datamanager, model, **cfg.loss.triplet, **shared)
    train, test = cfg.train, cfg.test
    engine.run(
        save_dir=cfg.data.save_dir,
        **{key: train[key] for key in ("max_epoch", "start_epoch", "fixbase_epoch", "open_layers", "print_freq")},
        **{key: test[key] for key in ("start_eval", "eval_freq", "dist_metric", "normalize_feature", "visrank")},
        **{key: test[key] for key in ("visrank_topk", "ranks", "rerank")},
        test_only=test.evaluate,
        use_metric_cuhk03=cfg.cuhk03.use_metric_cuhk03,
    )


if __name__ == "__main__":
    main()
