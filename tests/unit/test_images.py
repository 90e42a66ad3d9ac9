# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from trytond.modules.health_orthanc.core.orthanc.errors import (
    NoImage, NotFound, ServerFault)
from trytond.modules.health_orthanc.core.orthanc.images import (
    Obstacle, explain_no_image, study_thumbnail)


class Client:
    "Stands for an Orthanc with some series"

    def __init__(self, series, images):
        self._series = series
        self._images = images
        self.rendered_ = []

    def bulk_content(self, ids):
        return [
            {'ID': id_, 'Instances': self._series[id_]}
            for id_ in ids if id_ in self._series]

    def rendered(self, instance_id, width, height):
        self.rendered_.append((instance_id, width, height))
        image = self._images.get(instance_id, NotFound())
        if isinstance(image, Exception):
            raise image
        return image


def test_middle_of_the_first_series():
    client = Client({'a': list('1234567'), 'b': ['8']}, {'4': b'PNG'})
    assert study_thumbnail(client, ['a', 'b'], 64) == b'PNG'
    assert client.rendered_ == [('4', 64, 64)]


@pytest.mark.parametrize('error', [NoImage(), NotFound()])
def test_series_without_an_image_is_passed_over(error):
    client = Client(
        {'sr': ['1'], 'empty': [], 'ct': ['2']}, {'1': error, '2': b'PNG'})
    assert study_thumbnail(client, ['sr', 'empty', 'ct'], 64) == b'PNG'


def test_nothing_to_see():
    assert study_thumbnail(Client({}, {}), ['gone'], 64) is None
    assert study_thumbnail(Client({}, {}), [], 64) is None
    client = Client({'sr': ['1']}, {'1': NoImage()})
    assert study_thumbnail(client, ['sr'], 64) is None


def test_few_series_are_tried():
    series = {str(i): [f'i{i}'] for i in range(50)}
    client = Client(series, {})
    assert study_thumbnail(client, list(series), 64) is None
    assert len(client.rendered_) <= 5


def test_other_errors_are_told():
    client = Client({'a': ['1']}, {'1': ServerFault(status=500)})
    with pytest.raises(ServerFault):
        study_thumbnail(client, ['a'], 64)


@pytest.mark.parametrize('error', [
        NoImage(), NotFound(), ServerFault(status=500)])
def test_further_images_are_tried(error):
    instances = [str(number) for number in range(100)]
    images = dict.fromkeys(instances, error)
    for good in ['50', '25', '74', '0', '99']:
        client = Client({'a': instances}, {**images, good: b'PNG'})
        assert study_thumbnail(client, ['a'], 64) == b'PNG'
        assert len(client.rendered_) <= 5


def test_each_image_is_tried_once():
    client = Client({'a': ['1', '2']}, {})
    assert study_thumbnail(client, ['a'], 64) is None
    assert sorted(client.rendered_) == [('1', 64, 64), ('2', 64, 64)]


class Described:
    "Stands for an Orthanc with an instance"

    def __init__(self, tags, syntax=''):
        self.simplified_tags = lambda id_: tags
        self.transfer_syntax = lambda id_: syntax


@pytest.mark.parametrize('tags, syntax, obstacle', [
        ({}, '1.2.840.10008.1.2.1', Obstacle.NO_PIXELS),
        ({'Rows': '16'}, '1.2.840.10008.1.2.4.90', Obstacle.JPEG_2000),
        ({'Rows': '16'}, '1.2.840.10008.1.2.4.91', Obstacle.JPEG_2000),
        ({'Rows': '16'}, '1.2.840.10008.1.2.4.102', Obstacle.VIDEO),
        ({'Rows': '16'}, '1.2.840.10008.1.2.4.201', Obstacle.NO_DECODER),
        ({'Rows': '16'}, '', Obstacle.NO_DECODER)])
def test_what_keeps_an_image_from_being_shown(tags, syntax, obstacle):
    assert explain_no_image(Described(tags, syntax), 'a') is obstacle
