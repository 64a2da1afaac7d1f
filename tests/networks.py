"""The networks that the tests go through: the staged ones, and others that are a backbone and a head."""

STAGED = ["resnet18", "resnet34", "resnet50", "mobilenet_v2", "efficientnet_b0", "convnext_tiny", "vit_b_16"]
OTHERS = [
    "densenet121",
    "vgg11_bn",
    "regnet_y_400mf",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "googlenet",
    "inception_v3",
    "swin_t",
    "maxvit_t",
    "mnasnet0_5",
    "alexnet",
]
