/// What the arguments of other libraries that build models by name are called here, or what takes their place.
enum ForeignOptions {
  /// By the other library's name, what to do instead.
  static let advice: [String: String] = [
    // timm's.
    "num_classes": "it is 'classes' here; for 0, 'include_top' false with 'pooling' 'avg'",
    "in_chans": "it is the last number of 'input_shape' here",
    "img_size": "it is 'input_shape' here: height, width and channels",
    "pretrained": weights, "pretrained_cfg": weights, "checkpoint_path": "it is 'weights' here",
    "drop_rate": "it is 'dropout' here", "drop_path_rate": "it is 'drop_path' here",
    "drop_block_rate": "there is 'drop_path', stochastic depth, and 'dropout'",
    "global_pool": "it is 'pooling' here, 'avg' or 'max', with 'include_top' false; classifiers read the mean",
    "strict": "weights given here fit strictly: make the model without, then load them with strict false",
    "output_stride": "strides are those that were published",
    "feature_cfg": "there are 'features_only' and 'out_indices'",
    "act_layer": layers, "norm_layer": layers, "bn_eps": layers, "bn_momentum": layers,
    "scriptable": "all models are compiled when they first run", "exportable": "all models can be written as ONNX",
    // torchvision's.
    "progress": "nothing is downloaded", "width_per_group": "each width is a model: 'wide_resnet50_2'",
    "replace_stride_with_dilation": "strides are those that were published", "zero_init_residual": layers,
    // Keras's.
    "input_tensor": "make the model, and call it with the tensor",
    "alpha": "it is 'width_coefficient' here", "drop_connect_rate": "it is 'drop_path' here",
    "dropout_rate": "it is 'dropout' here", "depth_divisor": "it is 'divisor' here",
    "default_size": "it is 'input_shape' here", "blocks_args": "it is 'stages' here",
    "activation": layers, "include_preprocessing": "integers are pixels, which the model normalises itself",
  ]

  private static let weights =
    "no weights come with this library: give the path of a file, as the model.safetensors of its repository at "
    + "https://huggingface.co/timm or a state_dict of torchvision's, as 'weights'"
  private static let layers = "it is that of the published network; a network of your own is made of layers"
}
