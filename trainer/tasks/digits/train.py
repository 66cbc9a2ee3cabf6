"""Train a classifier on small images and label those that have no label. Higher accuracy is better.

Each call is one hand's digits: some hundred images with labels, and hidden ones to be labelled.
Everything is there for a reason that can be doubted: the features, the model, how it is trained.
"""

import os

import numpy as np

CLASSES = 10
EPOCHS = 40
BATCH = 20
LEARNING_RATE = 0.1
FALL = 0.0  # the share of it that is gone at the end of training
WEIGHT_DECAY = 0.0


class Classifier:
    """Softmax regression: one weighted sum of the pixels for each digit."""

    def __init__(self, images, chance):
        inputs = self.features(images).shape[1]
        self.parameters = [np.zeros((inputs, CLASSES)), np.zeros(CLASSES)]

    def features(self, images):
        """Return what the model sees of images, a row for each."""
        pixels = images / 255.0
        return pixels.reshape(len(images), -1)

    def scores(self, features):
        """Return how much speaks for each digit, a row for each image."""
        weights, biases = self.parameters
        return features @ weights + biases

    def gradients(self, features, labels):
        """Return the gradient of the cross-entropy for each parameter."""
        error = softmax(self.scores(features))
        error[np.arange(len(labels)), labels] -= 1.0
        error /= len(labels)
        return [features.T @ error, error.sum(axis=0)]


def softmax(scores):
    """Return probabilities, row by row."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def train(model, images, labels, chance):
    """Look at a few images at a time, as many in all as there are in so many epochs."""
    steps = EPOCHS * len(images) // BATCH
    for step in range(steps):
        rows = chance.integers(len(images), size=BATCH)
        batch = images[rows]
        gradients = model.gradients(model.features(batch), labels[rows])
        rate = LEARNING_RATE * (1 - FALL * step / steps)
        for parameter, gradient in zip(model.parameters, gradients, strict=True):
            parameter -= rate * (gradient + WEIGHT_DECAY * parameter)


def label(data):
    """Return a label for each hidden image."""
    chance = np.random.default_rng(int(os.environ.get("ARNODE_SEED", "0")))
    images, labels, hidden = data["images"], data["labels"].astype(np.int64), data["hidden"]
    scores = np.zeros((len(hidden), CLASSES))
    model = Classifier(images, chance)
    train(model, images, labels, chance)
    scores += softmax(model.scores(model.features(hidden)))
    return scores.argmax(axis=1)
