"""The networks: images in, logits out. They know no loss; `alexnet.readout` owns loss and decoding.

readout = READOUTS["positions"](num_classes=10, min_length=4, max_length=4)
network = NETWORKS["alexnet"]((60, 160, 1), readout.num_outputs, readout.num_positions)
readout.check_fits(network.output_shape)
loss = readout.loss(network(images, training=True), label_ids)
"""

from alexnet import alexnet, alexnet_v2, crnn, nptu, percent4, three_conv, vgg

NETWORKS = {
    "alexnet": alexnet.build,
    "alexnet_v2": alexnet_v2.build,
    "three_conv": three_conv.build,
    "nptu": nptu.build,
    "percent4": percent4.build,
    "vgg": vgg.build,
    "crnn": crnn.build,
}
