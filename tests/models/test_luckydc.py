"""The network of LuckyDC's baseline."""

import torch

from torchreid_rgbir.models import luckydc_resnet50


def test_one_stream_average_pooling_and_initial_weights():
    torch.manual_seed(0)
    model = luckydc_resnet50(7, loss="mso", pretrained=False)
    assert model.layer0["rgb"] is model.layer0["ir"] and (model.name, model.last_stride) == ("luckydc_resnet50", 1)
    outputs = model(torch.randn(4, 3, 64, 32), 2)
    torch.testing.assert_close(outputs.pooled, outputs.featuremaps.mean(dim=(2, 3)))
    assert outputs.featuremaps.shape[2:] == (4, 2)
    assert 0.0009 < model.classifier.weight.std() < 0.0011
    names = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert names == {"layer0", "layer1", "layer2", "layer3", "layer4", "bottleneck", "classifier"}
