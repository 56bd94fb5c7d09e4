import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
import labeling.models
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('training', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Bookmark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('ranking', 'Ranking'), ('demonstration', 'Demonstration')], max_length=13)),
                ('priority', models.SmallIntegerField()),
                ('sequence', models.CharField(choices=[('served', 'Served'), ('uniform', 'Uniform'), ('score', 'Score')], max_length=8)),
                ('place', models.FloatField()),
                ('upto', models.BigIntegerField()),
                ('edition', models.BigIntegerField()),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='training.project')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('annotator', 'project', 'kind', 'priority'), name='one_bookmark_a_priority')],
            },
        ),
        migrations.CreateModel(
            name='Conversation',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('body', models.JSONField()),
                ('saved_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='conversations', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='conversations', to='training.project')),
            ],
            options={
                'indexes': [models.Index(fields=['annotator', 'project', '-saved_at'], name='unfinished_conversations')],
            },
        ),
        migrations.CreateModel(
            name='Edition',
            fields=[
                ('project', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='training.project')),
                ('number', models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name='Prompt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('messages', models.JSONField()),
                ('text_hash', models.CharField(max_length=64)),
                ('group', models.CharField(max_length=80)),
                ('split', models.CharField(choices=[('train', 'Train'), ('valid', 'Valid'), ('test', 'Test')], max_length=5)),
                ('source', models.CharField(blank=True, max_length=100)),
                ('source_user', models.CharField(blank=True, max_length=150)),
                ('tags', models.JSONField(blank=True, default=list)),
                ('priority', models.SmallIntegerField(default=0)),
                ('retired_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='prompts', to='training.project')),
            ],
            options={
                'indexes': [models.Index(fields=['project', 'group'], name='prompts_of_a_group'), models.Index(fields=['project', 'source', 'source_user'], name='prompts_of_a_source_user')],
                'constraints': [models.UniqueConstraint(fields=('project', 'text_hash'), name='one_prompt_a_text'), models.CheckConstraint(condition=models.Q(('split__in', ['train', 'valid', 'test'])), name='split_is_known')],
            },
        ),
        migrations.CreateModel(
            name='Response',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('text', models.TextField()),
                ('writer', models.CharField(blank=True, max_length=150)),
                ('sample', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('seed', models.BigIntegerField(blank=True, null=True)),
                ('sampling', models.JSONField(blank=True, default=dict)),
                ('logprob', models.FloatField(blank=True, null=True)),
                ('token_count', models.PositiveIntegerField(blank=True, null=True)),
                ('finished', models.BooleanField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('author', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('checkpoint', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.RESTRICT, related_name='responses', to='training.checkpoint')),
                ('job', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='responses', to='training.job')),
                ('prompt', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='responses', to='labeling.prompt')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('text', ''), _negated=True), name='response_is_not_empty'), models.UniqueConstraint(condition=models.Q(('job__isnull', False)), fields=('job', 'prompt', 'sample'), name='one_response_a_sample')],
            },
        ),
        migrations.CreateModel(
            name='Guidelines',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField()),
                ('text', models.TextField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='guidelines', to='training.project')),
            ],
            options={
                'verbose_name_plural': 'guidelines',
                'constraints': [models.UniqueConstraint(fields=('project', 'version'), name='one_guidelines_a_version')],
            },
        ),
        migrations.CreateModel(
            name='GuidelinesAcknowledgement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='acknowledgements', to=settings.AUTH_USER_MODEL)),
                ('guidelines', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='acknowledgements', to='labeling.guidelines')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('guidelines', 'annotator'), name='one_acknowledgement_a_version')],
            },
        ),
        migrations.CreateModel(
            name='LabelingSettings',
            fields=[
                ('project', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='labeling', serialize=False, to='training.project')),
                ('responses_per_task', models.PositiveSmallIntegerField(default=4, validators=[django.core.validators.MinValueValidator(2), django.core.validators.MaxValueValidator(9)])),
                ('overlap', models.PositiveSmallIntegerField(default=1, validators=[django.core.validators.MinValueValidator(1)])),
                ('lease_seconds', models.PositiveIntegerField(default=1800, validators=[django.core.validators.MinValueValidator(30)])),
                ('skip_limit', models.PositiveSmallIntegerField(default=3, validators=[django.core.validators.MinValueValidator(1)])),
                ('order', models.CharField(choices=[('served', 'Served'), ('uniform', 'Uniform'), ('score', 'Score')], default='served', max_length=8)),
                ('label_set', models.JSONField(default=labeling.models.default_label_set)),
                ('overlap_percent', models.PositiveSmallIntegerField(default=100, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)])),
                ('extra_below', models.PositiveSmallIntegerField(blank=True, default=None, null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)])),
                ('daily_limit', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('gold_percent', models.PositiveSmallIntegerField(default=0, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(50)])),
                ('qualification_tasks', models.PositiveSmallIntegerField(default=0, validators=[django.core.validators.MaxValueValidator(50)])),
                ('qualification_percent', models.PositiveSmallIntegerField(default=70, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(100)])),
                ('shows_agreement', models.BooleanField(default=False)),
            ],
            options={
                'verbose_name_plural': 'labeling settings',
                'constraints': [models.CheckConstraint(condition=models.Q(('responses_per_task__gte', 2), ('responses_per_task__lte', 9)), name='two_to_nine_responses_a_task'), models.CheckConstraint(condition=models.Q(('lease_seconds__gte', 1), ('overlap__gte', 1), ('skip_limit__gte', 1)), name='labeling_settings_are_sound'), models.CheckConstraint(condition=models.Q(('gold_percent__lte', 50), ('overlap_percent__lte', 100), ('qualification_percent__lte', 100), models.Q(('extra_below__isnull', True), models.Q(('extra_below__gte', 1), ('extra_below__lte', 100)), _connector='OR'), models.Q(('daily_limit__isnull', True), ('daily_limit__gte', 1), _connector='OR')), name='labeling_shares_are_sound'), models.CheckConstraint(condition=models.Q(('order__in', ['served', 'uniform', 'score'])), name='task_order_is_known')],
            },
        ),
        migrations.CreateModel(
            name='Qualification',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('passed', 'Passed'), ('failed', 'Failed'), ('again', 'Again')], max_length=6)),
                ('share', models.FloatField(blank=True, null=True)),
                ('tasks', models.PositiveSmallIntegerField(default=0)),
                ('decided_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='qualifications', to=settings.AUTH_USER_MODEL)),
                ('decided_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='qualifications', to='training.project')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('project', 'annotator'), name='one_qualification_a_person'), models.CheckConstraint(condition=models.Q(('state__in', ['passed', 'failed', 'again'])), name='qualification_is_known')],
            },
        ),
        migrations.CreateModel(
            name='QualityReport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('with_simulated', models.BooleanField(default=False)),
                ('newest', models.PositiveBigIntegerField()),
                ('body', models.JSONField()),
                ('made_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='quality_reports', to='training.project')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('project', 'with_simulated'), name='one_report_a_view')],
            },
        ),
        migrations.CreateModel(
            name='Task',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('ranking', 'Ranking'), ('demonstration', 'Demonstration')], max_length=13)),
                ('imported_as', models.CharField(blank=True, max_length=200)),
                ('purpose', models.CharField(choices=[('work', 'Work'), ('gold', 'Gold'), ('qualification', 'Qualification')], default='work', max_length=13)),
                ('state', models.CharField(choices=[('open', 'Open'), ('set_aside', 'Set Aside'), ('retired', 'Retired')], default='open', max_length=9)),
                ('seats', models.PositiveSmallIntegerField(default=1)),
                ('seats_left', models.PositiveSmallIntegerField(default=1)),
                ('served', models.PositiveSmallIntegerField(default=0)),
                ('skips', models.PositiveSmallIntegerField(default=0)),
                ('priority', models.SmallIntegerField(default=0)),
                ('score', models.FloatField(default=0)),
                ('lot', models.FloatField(default=labeling.models.draw_lot)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('job', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='tasks', to='training.job')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tasks', to='training.project')),
                ('prompt', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tasks', to='labeling.prompt')),
            ],
            options={
                'indexes': [models.Index(models.F('project'), models.F('kind'), models.F('purpose'), models.OrderBy(models.F('priority'), descending=True), models.OrderBy(models.F('served'), descending=True), django.db.models.expressions.CombinedExpression(models.F('id'), '+', models.Value(0)), condition=models.Q(('seats_left__gt', 0), ('state', 'open')), name='hand_out_most_served'), models.Index(models.F('project'), models.F('kind'), models.F('purpose'), models.OrderBy(models.F('priority'), descending=True), models.F('lot'), django.db.models.expressions.CombinedExpression(models.F('id'), '+', models.Value(0)), condition=models.Q(('seats_left__gt', 0), ('state', 'open')), name='hand_out_uniformly'), models.Index(models.F('project'), models.F('kind'), models.F('purpose'), models.OrderBy(models.F('priority'), descending=True), models.OrderBy(models.F('score'), descending=True), django.db.models.expressions.CombinedExpression(models.F('id'), '+', models.Value(0)), condition=models.Q(('seats_left__gt', 0), ('state', 'open')), name='hand_out_by_score')],
                'constraints': [models.CheckConstraint(condition=models.Q(('seats__gte', django.db.models.expressions.CombinedExpression(models.F('served'), '+', models.F('seats_left')))), name='no_seat_is_sold_twice'), models.CheckConstraint(condition=models.Q(('state__in', ['open', 'set_aside', 'retired'])), name='task_state_is_known'), models.CheckConstraint(condition=models.Q(('kind__in', ['ranking', 'demonstration'])), name='task_kind_is_known'), models.UniqueConstraint(condition=models.Q(('job__isnull', False)), fields=('job', 'prompt'), name='one_task_a_job_and_prompt'), models.UniqueConstraint(condition=models.Q(('imported_as', ''), _negated=True), fields=('project', 'imported_as'), name='task_is_imported_once')],
            },
        ),
        migrations.CreateModel(
            name='Candidate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='candidates', to='labeling.task')),
                ('response', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='candidates', to='labeling.response')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('task', 'response'), name='response_lies_once_in_a_task')],
            },
        ),
        migrations.CreateModel(
            name='Lease',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('ranking', 'Ranking'), ('demonstration', 'Demonstration')], max_length=13)),
                ('state', models.CharField(choices=[('live', 'Live'), ('submitted', 'Submitted'), ('skipped', 'Skipped'), ('expired', 'Expired'), ('given_back', 'Given Back')], default='live', max_length=10)),
                ('slot', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('shown', models.JSONField(default=list)),
                ('guidelines_version', models.PositiveIntegerField(blank=True, null=True)),
                ('skip_reason', models.CharField(blank=True, max_length=500)),
                ('expires_at', models.DateTimeField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('annotator', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='leases', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='leases', to='training.project')),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='leases', to='labeling.task')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('state', 'live')), fields=['expires_at'], name='leases_to_expire'), models.Index(fields=['annotator', 'project', 'state', 'ended_at'], name='work_of_an_annotator')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('ended_at__isnull', True), ('slot__in', [1, 2]), ('state', 'live')), models.Q(models.Q(('state', 'live'), _negated=True), ('ended_at__isnull', False), ('slot__isnull', True)), _connector='OR'), name='live_lease_has_a_slot'), models.UniqueConstraint(condition=models.Q(('state', 'live')), fields=('project', 'kind', 'annotator', 'slot'), name='annotator_holds_at_most_two'), models.UniqueConstraint(condition=models.Q(('state', 'given_back'), _negated=True), fields=('task', 'annotator'), name='annotator_sees_a_task_once')],
            },
        ),
        migrations.CreateModel(
            name='Demonstration',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('edit', models.UUIDField(blank=True, null=True)),
                ('is_current', models.BooleanField(default=True)),
                ('standing', models.CharField(blank=True, choices=[('', 'Unreviewed'), ('accepted', 'Accepted'), ('returned', 'Returned')], default='', max_length=8)),
                ('is_simulated', models.BooleanField(default=False)),
                ('source', models.CharField(blank=True, max_length=100)),
                ('guidelines_version', models.PositiveIntegerField(blank=True, null=True)),
                ('seconds_spent', models.FloatField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('text', models.TextField()),
                ('is_conversation', models.BooleanField(default=False)),
                ('imported_as', models.CharField(blank=True, max_length=200)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='%(class)ss', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='demonstrations', to='training.project')),
                ('supersedes', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.RESTRICT, related_name='superseded_by', to='labeling.demonstration')),
                ('lease', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.RESTRICT, related_name='demonstrations', to='labeling.lease')),
                ('task', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.RESTRICT, related_name='demonstrations', to='labeling.task')),
                ('prompt', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='demonstrations', to='labeling.prompt')),
                ('started_from', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.RESTRICT, related_name='+', to='labeling.response')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('is_current', True)), fields=['project', 'prompt'], name='demonstrations_in_force'), models.Index(condition=models.Q(('is_current', True), ('standing', 'returned')), fields=['annotator', 'project'], name='returned_demonstrations')],
                'constraints': [models.CheckConstraint(condition=models.Q(('text', ''), _negated=True), name='demonstration_is_not_empty'), models.UniqueConstraint(condition=models.Q(('is_current', True), ('task__isnull', False)), fields=('task', 'annotator'), name='one_current_demonstration'), models.UniqueConstraint(condition=models.Q(('imported_as', ''), _negated=True), fields=('project', 'imported_as'), name='demonstration_is_imported_once'), models.UniqueConstraint(fields=('lease', 'edit'), name='one_demonstration_an_edit')],
            },
        ),
        migrations.CreateModel(
            name='Draft',
            fields=[
                ('lease', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='draft', serialize=False, to='labeling.lease')),
                ('body', models.JSONField()),
                ('replaces', models.PositiveBigIntegerField(blank=True, null=True)),
                ('saved_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name='KnownAnswer',
            fields=[
                ('task', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='known_answer', serialize=False, to='labeling.task')),
                ('ranks', models.JSONField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('origin', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='known_copies', to='labeling.task')),
            ],
        ),
        migrations.CreateModel(
            name='Judgement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('edit', models.UUIDField(blank=True, null=True)),
                ('is_current', models.BooleanField(default=True)),
                ('standing', models.CharField(blank=True, choices=[('', 'Unreviewed'), ('accepted', 'Accepted'), ('returned', 'Returned')], default='', max_length=8)),
                ('is_simulated', models.BooleanField(default=False)),
                ('source', models.CharField(blank=True, max_length=100)),
                ('guidelines_version', models.PositiveIntegerField(blank=True, null=True)),
                ('seconds_spent', models.FloatField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('form', models.CharField(choices=[('ranking', 'Ranking'), ('verdicts', 'Verdicts')], max_length=8)),
                ('shown', models.JSONField(default=list)),
                ('flags', models.JSONField(blank=True, default=list)),
                ('note', models.TextField(blank=True)),
                ('said', models.JSONField(blank=True, null=True)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='%(class)ss', to=settings.AUTH_USER_MODEL)),
                ('lease', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.RESTRICT, related_name='judgements', to='labeling.lease')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='judgements', to='training.project')),
                ('supersedes', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.RESTRICT, related_name='superseded_by', to='labeling.judgement')),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.RESTRICT, related_name='judgements', to='labeling.task')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('is_current', True)), fields=['project', 'id'], name='judgements_in_force'), models.Index(condition=models.Q(('is_current', True), ('standing', 'returned')), fields=['annotator', 'project'], name='returned_judgements')],
                'constraints': [models.CheckConstraint(condition=models.Q(('form__in', ['ranking', 'verdicts'])), name='judgement_form_is_known'), models.UniqueConstraint(condition=models.Q(('is_current', True)), fields=('task', 'annotator'), name='one_current_judgement'), models.UniqueConstraint(fields=('lease', 'edit'), name='one_judgement_an_edit')],
            },
        ),
        migrations.CreateModel(
            name='Report',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reason', models.CharField(choices=[('harmful', 'Harmful'), ('personal_data', 'Personal Data'), ('broken', 'Broken'), ('asked_before', 'Asked Before'), ('other', 'Other')], max_length=13)),
                ('note', models.CharField(blank=True, max_length=2000)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('settled_at', models.DateTimeField(blank=True, null=True)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reports', to='training.project')),
                ('prompt', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reports', to='labeling.prompt')),
                ('reporter', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reports', to=settings.AUTH_USER_MODEL)),
                ('settled_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('task', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='reports', to='labeling.task')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('settled_at__isnull', True)), fields=['project', '-id'], name='reports_open')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('settled_at__isnull', True)), fields=('prompt', 'reporter'), name='one_open_report_a_person'), models.CheckConstraint(condition=models.Q(('reason__in', ['harmful', 'personal_data', 'broken', 'asked_before', 'other'])), name='report_reason_is_known')],
            },
        ),
        migrations.CreateModel(
            name='Placement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('rank', models.PositiveSmallIntegerField()),
                ('rating', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('flags', models.JSONField(blank=True, default=list)),
                ('judgement', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='placements', to='labeling.judgement')),
                ('response', models.ForeignKey(on_delete=django.db.models.deletion.RESTRICT, related_name='placements', to='labeling.response')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('judgement', 'response'), name='response_is_placed_once'), models.CheckConstraint(condition=models.Q(('rank__gte', 1)), name='best_rank_is_one'), models.CheckConstraint(condition=models.Q(('rating__isnull', True), models.Q(('rating__gte', 1), ('rating__lte', 7)), _connector='OR'), name='rating_is_one_to_seven')],
            },
        ),
        migrations.CreateModel(
            name='Review',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('standing', models.CharField(choices=[('', 'Unreviewed'), ('accepted', 'Accepted'), ('returned', 'Returned')], max_length=8)),
                ('comment', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reviews', to=settings.AUTH_USER_MODEL)),
                ('demonstration', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='reviews', to='labeling.demonstration')),
                ('judgement', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='reviews', to='labeling.judgement')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reviews', to='training.project')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('judgement__isnull', True), ('demonstration__isnull', True), _connector='XOR'), name='review_is_of_one_word'), models.CheckConstraint(condition=models.Q(('standing__in', ['accepted', 'returned'])), name='review_says_something')],
            },
        ),
        migrations.CreateModel(
            name='Settlement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('ranks', models.JSONField()),
                ('comment', models.TextField(blank=True)),
                ('is_current', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='settlements', to=settings.AUTH_USER_MODEL)),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='settlements', to='labeling.task')),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('is_current', True)), fields=('task',), name='one_settlement_stands')],
            },
        ),
        migrations.CreateModel(
            name='Verdict',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('word', models.CharField(choices=[('a', 'A'), ('a_slight', 'A Slight'), ('tie', 'Tie'), ('b_slight', 'B Slight'), ('b', 'B')], max_length=8)),
                ('a', models.ForeignKey(on_delete=django.db.models.deletion.RESTRICT, related_name='+', to='labeling.response')),
                ('b', models.ForeignKey(on_delete=django.db.models.deletion.RESTRICT, related_name='+', to='labeling.response')),
                ('judgement', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='verdicts', to='labeling.judgement')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('a', models.F('b')), _negated=True), name='verdict_is_on_two_responses'), models.CheckConstraint(condition=models.Q(('word__in', ['a', 'a_slight', 'tie', 'b_slight', 'b'])), name='verdict_word_is_known')],
            },
        ),
        migrations.AddField(
            model_name='task',
            name='responses',
            field=models.ManyToManyField(related_name='tasks', through='labeling.Candidate', to='labeling.response'),
        ),
    ]
