import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('labeling', '0007_fewer_indexes'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='task',
            name='hand_out_uniformly',
        ),
        migrations.RemoveIndex(
            model_name='task',
            name='hand_out_by_score',
        ),
        migrations.RemoveConstraint(
            model_name='lease',
            name='annotator_holds_at_most_two',
        ),
        migrations.AddConstraint(
            model_name='lease',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'live')), fields=('project', 'kind', 'annotator', 'slot'), name='annotator_holds_at_most_two'),
        ),
        migrations.AddField(
            model_name='bookmark',
            name='place',
            field=models.FloatField(default=0),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='bookmark',
            name='sequence',
            field=models.CharField(choices=[('served', 'Served'), ('uniform', 'Uniform'), ('score', 'Score')], default='served', max_length=8),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(models.F('project'), models.F('kind'), models.F('purpose'), models.OrderBy(models.F('priority'), descending=True), models.F('lot'), django.db.models.expressions.CombinedExpression(models.F('id'), '+', models.Value(0)), condition=models.Q(('seats_left__gt', 0), ('state', 'open')), name='hand_out_uniformly'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(models.F('project'), models.F('kind'), models.F('purpose'), models.OrderBy(models.F('priority'), descending=True), models.OrderBy(models.F('score'), descending=True), django.db.models.expressions.CombinedExpression(models.F('id'), '+', models.Value(0)), condition=models.Q(('seats_left__gt', 0), ('state', 'open')), name='hand_out_by_score'),
        ),
    ]
