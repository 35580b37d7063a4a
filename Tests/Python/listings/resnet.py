from swiftcnn import layers, models

# 定义ResNet模型
class ResNet(models.Model):
    def __init__(self, input_shape):
        super(ResNet, self).__init__()
        self.conv1 = layers.Conv2D(64, (3, 3), padding='same', activation='relu', input_shape=input_shape)
        self.bn1 = layers.BatchNormalization()
        self.conv2 = layers.Conv2D(64, (3, 3), padding='same', activation='relu')
        self.bn2 = layers.BatchNormalization()
        self.conv3 = layers.Conv2D(64, (3, 3), padding='same', activation='relu')
        self.bn3 = layers.BatchNormalization()
        self.maxpool = layers.MaxPooling2D((2, 2))
        self.dropout = layers.Dropout(0.5)

    def call(self, x):
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.conv2(x)
        x = self.bn2(x)
        x = self.conv3(x)
        x = self.bn3(x)
        x = self.maxpool(x)
        x = self.dropout(x)
        return x

# 实例化ResNet模型
input_shape = (224, 224, 3)
model = ResNet(input_shape)

# 编译模型
model.compile(optimizer='adam', loss='categorical_crossentropy', metrics=['accuracy'])
