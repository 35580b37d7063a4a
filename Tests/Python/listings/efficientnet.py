from swiftcnn import layers, models
from swiftcnn.models import EfficientNet

# 定义EfficientNet模型
class EfficientNet(models.Model):
    def __init__(self, input_shape):
        super(EfficientNet, self).__init__()
        self.efficientnet = EfficientNet.from_name('efficientnet-b0', input_shape=input_shape, weights=None,
                                                    include_top=True, pooling='avg')

    def call(self, x):
        x = self.efficientnet(x)
        return x

# 实例化EfficientNet模型
input_shape = (224, 224, 3)
model = EfficientNet(input_shape)

# 编译模型
model.compile(optimizer='adam', loss='categorical_crossentropy', metrics=['accuracy'])
